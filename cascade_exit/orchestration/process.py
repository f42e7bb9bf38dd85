"""A job's process: its own session, its own log, and an end in which nothing of it survives."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_RAISED = re.compile(r"^(Error: |[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b)")
# Becomes the job, to which the system sends SIGTERM when the process that started it dies.
_TIED = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class JobProcess:
    """A job that was started.

    Attributes:
        log: everything that it writes to stderr, with tracebacks in full; what it writes to stdout follows at its end.
        gpu: what it was given, where there are several.
        begun: `time.monotonic()` at its start.
        submission: none, it is looked for by no later call.
    """

    submission: str | None = None

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        gpu: str | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        tied: bool = False,
    ) -> None:
        """Starts it; its log is appended to.

        Args:
            command: its words.
            log: see above.
            gpu: see above.
            folder: in which it works; none: this process's.
            environment: its variables, to which ours are added; none: this process's.
            tied: it is asked to end when this process dies, however it dies.
        """
        self.log, self.gpu, self.begun = log, gpu, time.monotonic()
        variables = os.environ if environment is None else environment
        environment = {**variables, "HYDRA_FULL_ERROR": "1", "PYTHONUNBUFFERED": "1"}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        log.parent.mkdir(parents=True, exist_ok=True)
        self._alone = False
        self._answer = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        with log.open("ab") as file:
            file.write(f"$ {' '.join(command)}\n".encode())
            file.flush()
            self._log_begins = file.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TIED, *command] if tied else command,
                stdin=subprocess.DEVNULL,
                stdout=self._answer,
                stderr=file,
                cwd=folder,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the sweep, which ends its jobs itself
            )

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    @property
    def holder(self) -> tuple[str, int]:
        """The machine and the process that do it."""
        return socket.gethostname(), self.pid

    @property
    def place(self) -> str | None:
        """Its GPU, for people."""
        return f"GPU {self.gpu}" if self.gpu is not None else None

    def ended(self) -> int | None:
        """Its exit code once it has ended, below zero where a signal ended it; what it left running is killed then."""
        code = self._process.poll()
        if code is not None and not self._alone:
            self._kill_group()
        return code

    def ask_to_end(self) -> None:
        """SIGTERM to the job itself alone: its data workers end with it, not before it, or it would seem to fail."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it and all that it started, at once."""
        if self.ended() is None:
            self._kill_group()
            self._process.wait()

    def close(self) -> str:
        """Gives what it wrote to stdout, and appends that to the log."""
        self._answer.seek(0)
        answer = self._answer.read()
        self._answer.close()
        with self.log.open("ab") as file:
            file.write(answer)
        return answer.decode(errors="replace")

    def error_line(self, code: int) -> str:
        """The line that says why it ended: of its last exception, or the last that it wrote to stderr."""
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        with self.log.open("rb") as file:
            file.seek(self._log_begins)
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        raised = [line for line in lines if _RAISED.match(line)]
        return (raised or lines or [f"exit code {code}"])[-1].removeprefix("Error: ")

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._alone = True  # the number may be another's from now on
