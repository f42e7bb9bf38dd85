"""Means over seeds, with Student's interval for the mean."""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cascade_exit.report.page.cells import Cell, Table, exit_names, lookup, number
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

LEVEL = 0.95
_PATHS = (
    "policy.AP",
    "policy.AP50",
    "policy.relative_ap_drop",
    "policy.speedup_macs",
    "policy.speedup_latency",
    "bounds.efficacy",
)


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        values: one per seed.
        mean: of them.
        low: lower end of the 95 % t-interval of the mean.
        high: upper end.
    """

    values: tuple[float | int, ...]
    mean: float | int
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | int]) -> "Mean":
        """Of at least two values: mean +/- t(n - 1) s / sqrt(n) (Student, 1908)."""
        mean, count = statistics.fmean(values), len(values)
        half = t_quantile(count - 1) * statistics.stdev(values) / math.sqrt(count)
        return cls(tuple(values), mean, mean - half, mean + half)


def t_quantile(freedom: int) -> float:
    """Student's t that a share of (1 + LEVEL) / 2 lies below, by bisection of its distribution function.

    Args:
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 20.0  # at one degree it is 12.7, and it falls from there
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, freedom) < LEVEL else (low, middle)
    return (low + high) / 2


def _share_within(t: float, freedom: int) -> float:
    """Chance that |T| < t: the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, series = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(1 + odd, freedom, 2):
        series += term
        term *= cosine**2 * step / (step + 1)
    return 2 / math.pi * (angle + math.sin(angle) * series) if odd else math.sin(angle) * series


def group_name(group: Sequence[ReportedRun], lineage: Lineage) -> str:
    """The name that its runs share."""
    return re.sub(r",? seed \d+", "", lineage.name(group[0]))


def seeds_table(groups: Sequence[Sequence[ReportedRun]], lineage: Lineage) -> Table:
    """A row per group and figure that at least two of its runs have."""
    rows: list[list[Cell]] = []
    for group in groups:
        seeds = ", ".join(str(lineage.seed(run)) for run in group)
        rows.append([Cell(f"{group_name(group, lineage)}: seeds {seeds} ({', '.join(run.id for run in group)})")])
        rows += [_row(path, mean, group) for path, mean in group_means(group).items()]
    note = (
        "95 % t-interval of the mean over seeds (Student, n − 1 degrees of freedom): it tells of what differs from "
        "training to training, not from image to image. Runs are grouped that differ in nothing but the seed."
    )
    return Table("Mean over seeds", ["figure", "n", "mean", "95 % interval", "standard deviation", "each"], rows, note)


def group_means(group: Sequence[ReportedRun]) -> dict[str, Mean]:
    """Means of a group by path in metrics.json; what fewer than two runs have is left out."""
    exits = [f"exits.{name}.{key}" for name in exit_names(group) for key in ("AP", "AP50")]
    found = {path: [lookup(run.figures, path) for run in group] for path in (*exits, *_PATHS)}
    present = {path: [value for value in values if value is not None] for path, values in found.items()}
    return {path: Mean.of(values) for path, values in present.items() if len(values) > 1}


def _row(path: str, mean: Mean, group: Sequence[ReportedRun]) -> list[Cell]:
    each = ", ".join(number(value, path) for value in mean.values)
    return [
        Cell(path),
        Cell(str(len(mean.values))),
        Cell(number(mean.mean, path), mean.mean, f"mean of {path} of {' '.join(run.id for run in group)}"),
        Cell(f"{number(mean.low, path)} to {number(mean.high, path)}"),
        Cell(number(statistics.stdev(mean.values), path)),
        Cell(each),
    ]
