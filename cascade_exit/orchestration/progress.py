"""How far a running job is, from the record that its run keeps."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade_exit.runs import Record, UserError


@dataclass
class Progress:
    """Epoch, AP and time left of one job.

    Attributes:
        epochs: how many it trains; None where it trains nothing.
        run: its folder, once known.
        done: epochs behind it, those of earlier tries included.
        ap: of the full exit (or of the mean of all) after the last of them.
        begun: `time.monotonic()` when the run became known.
        before: epochs that were done by then.
    """

    epochs: int | None
    run: Path | None = None
    done: int = 0
    ap: float | None = None
    begun: float = field(default_factory=time.monotonic)
    before: int = 0

    def found(self, run: Path) -> None:
        """Says where the run lies."""
        self.run = run
        self.read()
        self.begun, self.before = time.monotonic(), self.done

    def read(self) -> None:
        """Looks at the record again."""
        row = _last_row(self.run) if self.run else None
        if row:
            self.done = int(row.get("epoch", -1)) + 1
            self.ap = row.get("val/full/AP", row.get("mean_AP"))

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this try; None before its first epoch is done."""
        if self.epochs is None or self.done <= self.before:
            return None
        return (time.monotonic() - self.begun) / (self.done - self.before) * max(self.epochs - self.done, 0)


def _last_row(run: Path) -> dict[str, Any] | None:
    try:
        rows = Record(run / "metrics.jsonl").read()
    except (OSError, UserError):  # a view must not end a sweep
        return None
    return rows[-1] if rows else None
