"""Where jobs run: one small interface, and the processes of this machine as its plainest form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cascade_exit.orchestration.process import JobProcess


@dataclass(frozen=True)
class Order:
    """What an executor is asked to do.

    Attributes:
        name: of the job.
        command: its words.
        log: where it writes; see `JobProcess`.
        note: where a job on another machine says who does it and how it ended.
        nodes: machines that do it together.
    """

    name: str
    command: Sequence[str]
    log: Path
    note: Path
    nodes: int = 1


@runtime_checkable
class Handle(Protocol):
    """A job that was handed in.

    Attributes:
        gpu: the one that the sweep gave it, where it gives them.
        begun: `time.monotonic()` when it was handed in.
        submission: by which a later call asks for it, such as slurm:1234; None where it cannot.
    """

    gpu: str | None
    begun: float
    submission: str | None

    @property
    def holder(self) -> tuple[str, int] | None:
        """The machine and the process that do it, once one does."""

    @property
    def place(self) -> str | None:
        """Where it is, for people."""

    def ended(self) -> int | None:
        """Its exit code once it has ended, below zero where a signal ended it."""

    def ask_to_end(self) -> None:
        """Lets it end cleanly, or takes it out of the queue."""

    def kill(self) -> None:
        """Ends it at once."""

    def close(self) -> str:
        """Gives what it wrote to stdout, after its end."""

    def error_line(self, code: int) -> str:
        """The line that says why it ended."""


@runtime_checkable
class Executor(Protocol):
    """Takes jobs.

    Attributes:
        lasting: its jobs go on, or wait in a queue, when the sweep's terminal closes.
        spreads: it starts a job on several machines where that is asked for.
    """

    lasting: bool
    spreads: bool

    def submit(self, order: Order, gpu: str | None) -> Handle:
        """Hands a job in.

        Raises:
            UserError: it was refused.
        """

    def find(self, order: Order, submission: str) -> Handle | None:
        """The job that an earlier call handed in, where it still waits or runs."""


class LocalExecutor:
    """Every job a process of this machine; it ends with the sweep."""

    lasting, spreads = False, False

    def submit(self, order: Order, gpu: str | None) -> Handle:
        """Starts it."""
        return JobProcess(order.command, order.log, gpu)

    def find(self, order: Order, submission: str) -> Handle | None:
        """None: what outlived a sweep that was killed is known by the lock of its run."""
        return None
