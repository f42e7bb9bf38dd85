"""How policies stand against what the plan of this project asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade_exit.report.page.cells import ABSENT, Cell, Table, Tone, between, lookup, number, rates_of
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

_MARKS: dict[Tone, str] = {"good": "reached", "bad": "missed", "open": "open"}
_LAST = "full"


@dataclass(frozen=True)
class Target:
    """A target of the plan.

    Attributes:
        words: as the plan has it.
        path: of the figure in metrics.json; `early` is the share that leaves before the last exit.
        low: from here on.
        high: up to here.
        above: whether more than `high` is as good.
    """

    words: str
    path: str
    low: float = float("-inf")
    high: float = float("inf")
    above: bool = True

    def reached(self, value: float | int) -> bool:
        """Whether a value is what was asked for."""
        return value >= self.low and (value <= self.high or (self.above and self.low > float("-inf")))


TARGETS = (
    Target("25–35 % leave at exit 1", "policy.exit_rates.exit1", 0.25, 0.35, above=False),
    Target("40–50 % leave at exit 2", "policy.exit_rates.exit2", 0.40, 0.50, above=False),
    Target("15–25 % go to the end", "policy.exit_rates.full", 0.15, 0.25, above=False),
    Target("more than 60 % leave early", "early", 0.60),
    Target("then 70–80 % leave early", "early", 0.70, 0.80),
    Target("speedup 1.8–2.5x, in MACs", "policy.speedup_macs", 1.8, 2.5),
    Target("the same on the clock", "policy.speedup_latency", 1.8, 2.5),
    Target("then 2–3x, in MACs", "policy.speedup_macs", 2.0, 3.0),
    Target("the same on the clock", "policy.speedup_latency", 2.0, 3.0),
    Target("AP drop below 5 %", "policy.relative_ap_drop", high=0.05),
    Target("then below 3 %", "policy.relative_ap_drop", high=0.03),
)
VOID = {
    "exit 1 loss below 0.05": "void: from a script that gave its branches background alone to learn, where a loss "
    "near zero is the trivial answer and no object is found",
    "full loss below 1e-5": "void, for the same reason",
}


def scorecard(runs: Sequence[ReportedRun], lineage: Lineage) -> Table | None:
    """A row per target and a column per run with a policy; None where no run has one."""
    having = [run for run in runs if rates_of(run)]
    if not having:
        return None
    rows = [[Cell(target.words), *(judge(target, run) for run in having)] for target in TARGETS]
    rows += [[Cell(words), Cell(reason, tone="faint")] for words, reason in VOID.items()]
    note = (
        "Exit rates are neither trained nor tuned for: they follow from what an exit is worth. Drop and speedup are "
        "against what the column names. Open: the 95 % interval holds the limit. More than the plan asked for is "
        "reached too, but not for the rate of a single exit."
    )
    return Table("The plan's targets", ["target", *(_column(run, lineage) for run in having)], rows, note)


def judge(target: Target, run: ReportedRun) -> Cell:
    """The figure of a run, and whether it is what was asked for."""
    rates = rates_of(run) or {}
    if target.path == "early":
        value = 1 - rates[_LAST] if _LAST in rates else None
    elif ".exit_rates." in target.path and len(rates) != 3:
        value = None
    else:
        value = lookup(run.figures, target.path)
    if value is None:
        return (
            Cell("not measured", tone="faint")
            if target.path in ("policy.speedup_macs", "policy.speedup_latency", "policy.relative_ap_drop")
            else ABSENT
        )
    interval = run.figures.get("intervals", {}).get(target.path)
    verdict = _verdict(target, value, interval)
    shown = number(value, "policy.exit_rates" if target.path == "early" else target.path)
    below = ", ".join(filter(None, [_MARKS[verdict], between(interval, target.path)]))
    return Cell(shown, value, f"{target.path} of {run.id}", below, verdict)


def _verdict(target: Target, value: float | int, interval: Sequence[float | int] | None) -> Tone:
    reached = target.reached(value)
    if interval and any(target.reached(end) != reached for end in interval):
        return "open"
    return "good" if reached else "bad"


def _column(run: ReportedRun, lineage: Lineage) -> str:
    against = lookup(run.figures, "baseline.run") or "full"
    tuned = " (images tuned on)" if run.verb == "tune" else ""
    return f"{lineage.label(run)} against {against}{tuned}"
