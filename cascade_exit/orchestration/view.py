"""What the terminal shows of a sweep: a live table of running jobs, plain lines elsewhere, a table at the end."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cascade_exit.orchestration.job import Job, labels
from cascade_exit.orchestration.ledger import LedgerRow
from cascade_exit.orchestration.progress import Progress
from cascade_exit.orchestration.standing import Standing

_PLAIN_LINE_SECONDS = 60.0
_COLOURS = {"finished": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "waiting": "dim"}


class View:
    """Shows a sweep while it runs."""

    def __init__(self, console: Console, names: Mapping[str, str]) -> None:
        """Nothing is shown before the block is entered; `names` says by id how a job is called."""
        self._console, self._names = console, names
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            with _terminal_may_be_gone():
                self._live.stop()

    def say(self, job: Job | None, text: str) -> None:
        """A line that stays."""
        name = f"{job.id} ({self._names[job.id]}): " if job else ""
        with _terminal_may_be_gone():
            self._console.print(escape(f"{name}{text}"), highlight=False)

    def refresh(self, running: Sequence[tuple[Job, Progress, float, str | None]], waiting: int, ended: int) -> None:
        """Shows how far running jobs are.

        Args:
            running: each with its progress, the seconds since it was handed in and where it is.
            waiting: how many are still to be started.
            ended: how many need nothing more.
        """
        if self._live:
            self._live.update(
                self._table(running, f"{ended} ended, {len(running)} running, {waiting} waiting"), refresh=True
            )
            return
        for job, progress, _, _ in running:
            last, done = self._said.get(job.id, (0.0, 0))
            if progress.done != done and time.monotonic() - last >= _PLAIN_LINE_SECONDS:
                self._said[job.id] = (time.monotonic(), progress.done)
                self.say(job, f"epoch {_epoch(progress)}, AP {_ap(progress.ap)}, {_clock(progress.seconds_left)} left")

    def _table(self, running: Sequence[tuple[Job, Progress, float, str | None]], title: str) -> Table:
        table = Table(title=title, title_justify="left")
        for column in ("job", "epoch", "AP", "time", "left"):
            table.add_column(column, justify="left" if column == "job" else "right")
        with_places = any(place for *_, place in running)
        if with_places:
            table.add_column("where")
        for job, progress, seconds, place in running:
            cells = [_epoch(progress), _ap(progress.ap), _clock(seconds), _clock(progress.seconds_left)]
            table.add_row(escape(self._names[job.id]), *cells, *([escape(place or "")] if with_places else []))
        return table


def dry_run_table(jobs: Sequence[Job], standings: Mapping[str, Standing], folder: Path) -> Table:
    """Which jobs would run, and why."""
    due = sum(standing.state == "due" for standing in standings.values())
    table = Table(title=f"{due} of {len(jobs)} jobs would run; ledger in {folder}", title_justify="left")
    for column in ("id", "job", "would run", "why"):
        table.add_column(column, overflow="fold")
    names = labels(jobs)
    for job in jobs:
        standing = standings[job.id]
        table.add_row(job.id, escape(names[job.id]), "yes" if standing.state == "due" else "no", escape(standing.why))
    return table


def end_table(jobs: Sequence[Job], rows: Mapping[str, LedgerRow], folder: Path) -> Table:
    """All jobs: state, tries, seconds, AP of every exit, id of the run, and the line that ended those that failed."""
    exits = list(dict.fromkeys(name for job in jobs if job.id in rows for name in rows[job.id].metrics))
    failed = any(row.error for row in rows.values())
    table = Table(title=f"{folder}: {len(jobs)} jobs", title_justify="left")
    table.add_column("job", overflow="fold")
    table.add_column("state")
    for column in ("tries", "seconds", *exits):
        table.add_column(column, justify="right")
    table.add_column("run")
    if failed:
        table.add_column("error", overflow="fold")
    names = labels(jobs)
    for job in jobs:
        row = rows.get(job.id)
        state = row.state if row else "waiting"
        cells = [escape(names[job.id]), f"[{_COLOURS[state]}]{state}[/]"]
        cells += [str(row.tries), f"{row.seconds:.0f}"] if row else ["", ""]
        cells += [_ap(row.metrics.get(name) if row else None) for name in exits]
        cells.append(Path(row.run).name.rsplit("-", 1)[-1] if row and row.run else "")
        if failed:
            cells.append(escape(f"{row.error} (logs/{job.id}.log)") if row and row.error else "")
        table.add_row(*cells)
    return table


def _terminal_may_be_gone() -> AbstractContextManager[None]:
    """A terminal that was closed takes no more lines; the sweep must still end its jobs."""
    return suppress(OSError)


def _epoch(progress: Progress) -> str:
    return f"{progress.done}/{progress.epochs}" if progress.epochs else "–"


def _ap(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
