"""Cells and tables: numbers as people read them, with the exact value and where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cascade_exit.report.page.source import ReportedRun

NOTHING = "–"
Tone = Literal["", "good", "bad", "open", "faint"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: as shown.
        value: the exact number behind it.
        source: where the number is found: a path and a run.
        below: a second line, such as an interval.
        tone: how it is coloured.
        run: id of the run that it leads to.
    """

    text: str
    value: float | int | None = None
    source: str = ""
    below: str = ""
    tone: Tone = ""
    run: str = ""


ABSENT = Cell(NOTHING, tone="faint")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: above it.
        columns: heads.
        rows: as long as the columns; the first cell is the row's head. A row of one cell is a heading over the rows
            below it; the last of two cells takes all columns that are left.
        note: under it.
        wraps: whether long values break into lines.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    wraps: bool = False


def lookup(figures: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    for part in path.split("."):
        if not isinstance(figures, Mapping) or part not in figures:
            return None
        figures = figures[part]
    return figures


def figure_cell(run: ReportedRun, path: str, tone: Tone = "") -> Cell:
    """A number of a run by its path in metrics.json, with its interval where there is one."""
    value = lookup(run.figures, path)
    if not isinstance(value, int | float):
        return ABSENT
    interval = run.figures.get("intervals", {}).get(path)
    return Cell(number(value, path), value, f"{path} of {run.id}", below=between(interval, path), tone=tone)


def between(interval: Sequence[float | int] | None, path: str) -> str:
    """An interval in words, or nothing."""
    return f"{number(interval[0], path)} to {number(interval[1], path)}" if interval else ""


def number(value: float | int, path: str) -> str:
    """A number in the unit that its path in metrics.json asks for."""
    return _in_unit(value, path).replace("-", "−")


def _in_unit(value: float | int, path: str) -> str:
    key = path.rsplit(".", 1)[-1]
    if key in ("relative_ap_drop", "macs_reduction") or ".exit_rates" in path:
        return f"{100 * value:.1f} %"
    if key == "macs":
        return f"{value / 1e6:.0f}"
    if key == "parameters":
        return f"{value / 1e6:.2f}"
    if key.startswith("speedup"):
        return f"{value:.2f}x"
    if "latency_ms" in path:
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def exit_names(runs: Sequence[ReportedRun]) -> list[str]:
    """Exits of all runs, from shallow to deep."""
    names = {name for run in runs for name in (*run.figures.get("exits", {}), *(rates_of(run) or ()))}
    names |= {
        key.split("/")[1]
        for run in runs
        for row in run.epochs
        for key in row
        if key.startswith("val/") and key.endswith("/AP")
    }
    return sorted(names, key=lambda name: (name == "full", len(name), name))


def rates_of(run: ReportedRun) -> Mapping[str, float] | None:
    """Shares of images that leave at each exit under the run's policy."""
    rates = lookup(run.figures, "policy.exit_rates")
    return rates if isinstance(rates, Mapping) and rates else None
