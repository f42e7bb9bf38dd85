"""A job that was handed to a cluster: what its note says, and whether the cluster still has it."""

import time
from abc import ABC, abstractmethod
from typing import Any

from cascade_exit.orchestration.executor import Order
from cascade_exit.orchestration.far_end import read_note

LOOK_SECONDS = 1.0  # between two looks at a note
PATIENCE_SECONDS = 10.0  # a shared file system may show a note later than the queue shows the end
_LOST = "it left the cluster without a word: cancelled there, out of time or memory, or its machine is gone"


class RemoteJob(ABC):
    """A handle; see `executor.Handle`."""

    gpu: str | None = None

    def __init__(self, order: Order, submission: str) -> None:
        """Wraps what was handed in under this name."""
        self.order, self.begun = order, time.monotonic()
        self.submission: str | None = submission
        self._note: dict[str, Any] = {}
        self._code: int | None = None
        self._looked, self._told = float("-inf"), False
        self._missed_since: float | None = None

    @abstractmethod
    def there(self) -> bool:
        """Whether the cluster still has it, waiting or running."""

    @abstractmethod
    def cancel(self) -> None:
        """Lets the cluster end it, cleanly where it can."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once."""

    @property
    def holder(self) -> tuple[str, int] | None:
        """The machine and the process that do it, once one does."""
        self._note = self._note or read_note(self.order.note)  # it may have begun since the last look
        return (self._note["host"], self._note["pid"]) if self._note else None

    @property
    def place(self) -> str:
        """Its number, and the machine where it runs."""
        return f"{self.submission} on {self._note['host']}" if self._note else f"{self.submission}, waiting"

    def ended(self) -> int | None:
        """Its exit code, from its note; 1 where the cluster has lost it."""
        if self._code is None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            there = self.there()  # before the note is read: it may be written in between
            self._note = read_note(self.order.note) or self._note
            self._code = self._note.get("code")
            if self._code is None and self._is_lost(there):
                self._code = 1
        return self._code

    def _is_lost(self, there: bool) -> bool:
        if there:
            self._missed_since = None
            return False
        now = time.monotonic()
        self._missed_since = now if self._missed_since is None else self._missed_since
        return self._told or now - self._missed_since >= PATIENCE_SECONDS

    def ask_to_end(self) -> None:
        """Takes it out of the queue, or ends it cleanly."""
        self._told, self._looked = True, float("-inf")
        self.cancel()

    def close(self) -> str:
        """What it wrote to stdout."""
        return str(self._note.get("answer", ""))

    def error_line(self, code: int) -> str:
        """The line that says why it ended."""
        return str(self._note.get("error") or _LOST)
