"""The ledger of a sweep: an append-only view of what its runs' manifests say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cascade_exit.runs import Record, build, utc_now

LEDGER_NAME = "sweep.jsonl"
JobState = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class LedgerRow:
    """One change of a job's state; the last row of a job holds.

    Attributes:
        id: of the job.
        overrides: its key=value words.
        state: what it came to.
        tries: how often the sweep has started it.
        seconds: of work over all tries of its run, as its manifest has them.
        run: its run folder, once it is known.
        submission: of a cluster, such as slurm:1234, by which the next call asks for it.
        error: the line that ended it, where it failed.
        metrics: AP of every exit, such as full/AP.
        time: when this was written (ISO 8601, UTC).
    """

    id: str
    overrides: tuple[str, ...]
    state: JobState
    tries: int = 0
    seconds: float = 0.0
    run: str | None = None
    submission: str | None = None
    error: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    time: str = field(default_factory=utc_now)


class Ledger:
    """The file; every row is on the disk before `write` returns, and a torn last line is passed over."""

    def __init__(self, folder: Path) -> None:
        """Reads what is there.

        Raises:
            UserError: a line that is not the last cannot be read.
        """
        self._record = Record(folder / LEDGER_NAME)
        self.rows: dict[str, LedgerRow] = {}
        for number, values in enumerate(self._record.read(), start=1):
            row = build(LedgerRow, values, f"{self._record.path}, line {number}")
            self.rows[row.id] = row

    def write(self, row: LedgerRow) -> None:
        """Appends a row."""
        self._record.write(vars(row))
        self.rows[row.id] = row
