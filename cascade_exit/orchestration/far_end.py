"""What a cluster runs in place of a job: it starts the job, stands by it, and leaves a note that the sweep reads.

It imports nothing that imports torch: standing by must take neither its seconds nor its memory.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_exit.orchestration.nodes import Node, free_port
from cascade_exit.orchestration.process import JobProcess
from cascade_exit.runs.signals import sigterm_as_exit, unheard

_GRACE_SECONDS = 25.0  # Slurm and sweeps send SIGKILL 30 seconds after SIGTERM
_POLL_SECONDS = 0.1


class FarEnd:
    """Does an order on whatever machine it is called.

    All paths are absolute and lie where both machines see them.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        log: Path,
        note: Path,
        environment: Mapping[str, str] | None = None,
        changes: Mapping[str, str] | None = None,
        nodes: int = 1,
    ) -> None:
        """Starts nothing yet.

        Args:
            command: the job's words.
            folder: in which it works.
            log: where it writes.
            note: see `read_note`.
            environment: its variables, GPUs aside; none: those that are found there.
            changes: further variables.
            nodes: machines that do it together; each calls its own copy of this.
        """
        self.command, self.folder, self.log, self.note = list(command), folder, log, note
        self.environment = dict(environment) if environment is not None else None
        self.changes, self.nodes = dict(changes or {}), nodes
        self._process: JobProcess | None = None

    def __call__(self) -> None:
        """Does it, and notes how it ended; leaves no end in the note where it was itself told to end."""
        node = Node(self.note, self.nodes)
        with sigterm_as_exit():  # so that the job is ended too
            try:
                if node.rank:
                    self._stand_by_further(node)
                else:
                    self._stand_by_first(node)
            finally:
                self._end()

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue when the time is up: the same again, whose run goes on by itself."""
        from submitit.helpers import DelayedSubmission

        self._end()
        again = FarEnd(self.command, self.folder, self.log, self.note, self.environment, self.changes, self.nodes)
        return DelayedSubmission(again)

    def _stand_by_first(self, node: Node) -> None:
        port = free_port()
        process = self._start(node, socket.gethostname(), port)
        facts = {"pid": process.pid, "port": port, "start": node.start}
        self._write_note(**facts)
        told: list[str] = []
        while (code := process.ended()) is None:
            time.sleep(_POLL_SECONDS)
            if told := node.failures():
                self._end()  # it would wait for the others
        # Of a process that was ended here, its own error says nothing.
        errors = ([process.error_line(code)] if code and not told else []) + node.failures()
        error = "; ".join(errors) or None
        self._write_note(**facts, code=code, error=error, answer=process.close())

    def _stand_by_further(self, node: Node) -> None:
        # A shared file system may show an older note for a while.
        while (first := read_note(self.note)).get("start") != node.start or not node.has_opened:
            if "code" in first:
                return  # the run was finished before, or never opened
            time.sleep(_POLL_SECONDS)
        process = self._start(node, first["host"], first["port"])
        alone_since = None
        while (code := process.ended()) is None:
            time.sleep(_POLL_SECONDS)
            if "code" in read_note(self.note):
                alone_since = alone_since or time.monotonic()
                if time.monotonic() - alone_since > _GRACE_SECONDS:
                    self._end()
        if code:
            node.tell_failure(process.error_line(code))

    def _start(self, node: Node, host: str, port: int) -> JobProcess:
        # Slurm's warning that the time is nearly up goes to every process of the job, and would end this one uncleanly.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            # Tied, since a cluster takes its place for free when this process is gone.
            environment = self._environment() | node.variables(host, port)
            process = JobProcess(
                self.command, node.log(self.log), folder=self.folder, environment=environment, tied=True
            )
        finally:
            signal.signal(signal.SIGUSR2, before)
        self._process = process
        return process

    def _environment(self) -> dict[str, str]:
        if self.environment is None:
            return {**os.environ, **self.changes}
        given = {key: value for key, value in os.environ.items() if key == "CUDA_VISIBLE_DEVICES"}
        others = {key: value for key, value in self.environment.items() if key != "CUDA_VISIBLE_DEVICES"}
        return others | given | self.changes

    def _end(self) -> None:
        process = self._process
        if process is None or process.ended() is not None:
            return
        with unheard():
            process.ask_to_end()
            end = time.monotonic() + _GRACE_SECONDS
            while process.ended() is None and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
            process.kill()

    def _write_note(self, **facts: Any) -> None:
        self.note.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.note.with_name(f".tmp-{os.getpid()}-{self.note.name}")
        temporary.write_text(json.dumps({"host": socket.gethostname(), **facts}))
        os.replace(temporary, self.note)


def do(far_end: FarEnd) -> None:
    """Does it, for what takes functions."""
    far_end()


def read_note(path: Path) -> dict[str, Any]:
    """What the far end says: host, pid, port, start (see `nodes`), and at the end code, error and answer (stdout).

    Nothing before it began.
    """
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):  # not there yet, or a shared file system is in between
        return {}
    return note if isinstance(note, dict) else {}
