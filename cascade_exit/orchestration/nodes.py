"""One job on several machines: how those that stand by it there find each other, by files beside the job's note.

Slurm starts a far end on every node. That of node 0 starts the job; the others start the same command line, as further
processes of it, once the first has opened the run: so one process alone makes folder, lock and manifest. On each node
Lightning starts a process for every further GPU, as it does on one machine.
"""

import json
import os
import socket
from pathlib import Path

from cascade_exit.runs.opened import OPENED


class Node:
    """This machine's part in a job.

    Attributes:
        rank: 0 for the one that keeps the job's note.
        count: machines of the job.
        start: which start of the job this is: one that went back into the queue must not find what it left there.
    """

    def __init__(self, note: Path, count: int) -> None:
        """Reads which node this is from Slurm's variables.

        Args:
            note: of the job.
            count: machines of the job.
        """
        self.count = count
        self.rank = int(os.environ.get("SLURM_NODEID", "0")) if count > 1 else 0
        self.start = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        self._stem = f"{note.stem}-start{self.start}"
        self._folder = note.parent
        self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def has_opened(self) -> bool:
        """Whether the first process has opened the run."""
        return self._opened.exists()

    def variables(self, host: str, port: int) -> dict[str, str]:
        """What Lightning needs to know of the others; nothing where there are none.

        Args:
            host: of node 0.
            port: on which its first process waits for the others.
        """
        if self.count == 1:
            return {}
        found = {"MASTER_ADDR": host, "MASTER_PORT": str(port), "NODE_RANK": str(self.rank)}
        return found | ({OPENED: str(self._opened)} if self.rank == 0 else {})

    def log(self, path: Path) -> Path:
        """Where this node's part of the job writes."""
        return path.with_name(f"{path.stem}-node{self.rank}{path.suffix}") if self.rank else path

    def tell_failure(self, error: str) -> None:
        """Leaves word for node 0."""
        text = json.dumps(f"node {self.rank} ({socket.gethostname()}): {error}")
        temporary = self._folder / f".tmp-{self._stem}-node{self.rank}"
        temporary.write_text(text)
        temporary.replace(self._failure(self.rank))

    def failures(self) -> list[str]:
        """What the other nodes have told."""
        told = [path for rank in range(1, self.count) if (path := self._failure(rank)).exists()]
        return [json.loads(path.read_text()) for path in told]

    @property
    def _opened(self) -> Path:
        return self._folder / f"{self._stem}-opened"

    def _failure(self, rank: int) -> Path:
        return self._folder / f"{self._stem}-node{rank}"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
