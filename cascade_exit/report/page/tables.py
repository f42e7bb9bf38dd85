"""The page's tables."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cascade_exit.report.page.cells import ABSENT, Cell, Table, Tone, exit_names, figure_cell, lookup, rates_of
from cascade_exit.report.page.differences import differences
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

_INTERVAL = "Below a figure: its 95 % bootstrap interval over the images."
_MEASURES = {
    "AP": "AP",
    "AP50": "AP50",
    "AP75": "AP75",
    "AP_small": "AP small",
    "AP_medium": "AP medium",
    "AP_large": "AP large",
    "AR100": "AR100",
    "ece": "ECE",
    "nll": "NLL",
    "macs": "MMACs",
    "parameters": "M parameters",
}
_OF_POLICY = {
    "policy.AP": "AP",
    "policy.AP50": "AP50",
    "policy.relative_ap_drop": "AP drop",
    "policy.macs": "MMACs",
    "policy.speedup_macs": "speedup, MACs",
    "policy.speedup_latency": "speedup, clock",
    "policy.mean_latency_ms": "mean ms",
    "policy.latency_ms.p50": "p50 ms",
    "policy.latency_ms.p90": "p90 ms",
    "policy.latency_ms.p99": "p99 ms",
    "baseline.AP": "baseline AP",
    "baseline.macs": "baseline MMACs",
    "baseline.mean_latency_ms": "baseline ms",
    "bounds.random_AP": "random AP",
    "bounds.oracle_AP": "oracle AP",
    "bounds.efficacy": "efficacy",
}


def runs_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """What each run is, how it went and the AP of its exits."""
    exits = [
        name for name in exit_names(runs) if any(lookup(run.figures, f"exits.{name}.AP") is not None for run in runs)
    ]
    rows = [
        [
            head(run, lineage),
            Cell(run.verb),
            _text(lineage.experiment(run)),
            state(run),
            _started(run),
            measured_on(run),
            *(figure_cell(run, f"exits.{name}.AP") for name in exits),
            _policy(run),
            _text(lookup(run.figures, "baseline.run")),
        ]
        for run in runs
    ]
    columns = ["run", "verb", "experiment", "state", "started (UTC)", "measured on"]
    columns += [f"AP {name}" for name in exits] + ["policy", "baseline"]
    return _without_empty_columns(Table("Runs", columns, rows, _INTERVAL))


def exits_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """Every measure of every exit."""
    names = exit_names(runs)
    rows = [
        [
            head(run, lineage),
            Cell(name),
            measured_on(run),
            *(figure_cell(run, f"exits.{name}.{key}") for key in _MEASURES),
        ]
        for run in runs
        for name in names
        if name in run.figures.get("exits", {})
    ]
    return _without_empty_columns(
        Table("Every exit on all images", ["run", "exit", "measured on", *_MEASURES.values()], rows, _INTERVAL)
    )


def policies_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """What policies are worth, against what."""
    having = [run for run in runs if rates_of(run)]
    exits = exit_names(having)
    rows = [
        [
            head(run, lineage),
            _policy(run),
            measured_on(run),
            *(figure_cell(run, f"policy.exit_rates.{name}") for name in exits),
            _text(lookup(run.figures, "baseline.run")),
            *(figure_cell(run, path) for path in _OF_POLICY),
        ]
        for run in having
    ]
    columns = [
        "run",
        "policy",
        "measured on",
        *(f"leave at {name}" for name in exits),
        "baseline",
        *_OF_POLICY.values(),
    ]
    note = (
        "Drop and speedup are against the baseline; of tuning runs against the full exit, on the very images tuned on. "
        "Random and oracle: at the policy's mean cost. " + _INTERVAL
    )
    return _without_empty_columns(Table("Policies", columns, rows, note))


def difference_tables(runs: Sequence[ReportedRun], lineage: Lineage) -> list[Table]:
    """One table per verb with at least two runs: only what differs."""
    tables = []
    for verb in dict.fromkeys(run.verb for run in runs):
        of_verb = [run for run in runs if run.verb == verb]
        found = differences(of_verb) if len(of_verb) > 1 else []
        rows: list[list[Cell]] = []
        for group in dict.fromkeys(each.group for each in found):
            rows.append([Cell(group)])
            rows += [[Cell(each.key), *map(_text, each.values)] for each in found if each.group == group]
        if rows:
            columns = ["setting", *(lineage.label(run) for run in of_verb)]
            tables.append(Table(f"{verb}: settings that differ", columns, rows, wraps=True))
    return tables


def head(run: ReportedRun, lineage: Lineage) -> Cell:
    """The run at the left of a row."""
    return Cell(lineage.name(run), below="" if run.id == lineage.name(run) else run.id, run=run.id)


def state(run: ReportedRun) -> Cell:
    """Its state, and how far a training came."""
    reached = f"{len(run.epochs)} epochs on record" if run.epochs and not run.finished else ""
    tone: Tone = "good" if run.finished else "bad" if run.state == "failed" else "open"
    return Cell(run.state, tone=tone, below=reached)


def measured_on(run: ReportedRun) -> Cell:
    """Role, number of images and file."""
    images = run.figures.get("images") or run.tuning.get("images")
    if images is None:
        return ABSENT
    return Cell(
        " ".join(filter(None, [run.role, f"{images:,} images"])), below=lookup(run.figures, "data.annotations") or ""
    )


def _policy(run: ReportedRun) -> Cell:
    name = lookup(run.figures, "policy.name") or run.tuning.get("chosen")
    return ABSENT if name is None else Cell(str(name))


def _text(value: str | None) -> Cell:
    return ABSENT if value is None else Cell(value)


def _started(run: ReportedRun) -> Cell:
    started, seconds = lookup(run.provenance, "times.started"), lookup(run.provenance, "times.seconds")
    if started is None:
        return ABSENT
    took = f"took {timedelta(seconds=round(seconds))}"
    return Cell(datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M"), below=took)


def _without_empty_columns(table: Table) -> Table:
    kept = [place for place in range(len(table.columns)) if any(row[place] != ABSENT for row in table.rows)]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Table(table.title, [table.columns[place] for place in kept], rows, table.note)
