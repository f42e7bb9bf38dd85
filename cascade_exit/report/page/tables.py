"""The page's tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cascade_exit.report.page.cells import (
    ABSENT,
    Cell,
    Table,
    Tone,
    between,
    exit_names,
    figure_cell,
    lookup,
    number,
    rates_of,
)
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
            _policy(run, against=True),
        ]
        for run in runs
    ]
    columns = ["run", "verb", "experiment", "state", "started (UTC)", "measured on"]
    columns += [f"AP {name}" for name in exits] + ["policy, baseline"]
    return _without_empty_columns(Table("Runs", columns, rows, _note(runs)))


def exits_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """Every measure of every exit, run by run."""
    having = [run for run in runs if run.figures.get("exits")]
    paths = {
        key: title
        for key, title in _MEASURES.items()
        if any(key in of_exit for run in having for of_exit in run.figures["exits"].values())
    }
    rows: list[list[Cell]] = []
    for run in having:
        where = measured_on(run)
        rows.append([Cell(", ".join(filter(None, [lineage.label(run), where.text, where.below])))])
        rows += [
            [Cell(name), *(figure_cell(run, f"exits.{name}.{key}") for key in paths)]
            for name in exit_names([run])
            if name in run.figures["exits"]
        ]
    return Table("Every exit on all images", ["exit", *paths.values()], rows, _note(having))


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
        "Drop and speedup are against the baseline; of tuning runs on the very images tuned on. "
        "Random and oracle: at the policy's mean cost. " + _note(having)
    )
    return _without_empty_columns(Table("Policies", columns, rows, note))


def classes_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """Every class of every run that was analysed class by class, and what is known of its kind of images."""
    having = [run for run in runs if run.figures.get("classes")]
    exits = exit_names(having)
    paths = {f"exits.{name}.AP": f"AP {name}" for name in exits}
    paths |= {"policy.AP": "AP policy", "drop.full": "drop from full", "drop.baseline": "drop from baseline"}
    paths |= {"early": "leave early"}
    paths |= {f"gain_where_left.{name}": f"full − {name} where they left there" for name in exits[:-1]}
    rows: list[list[Cell]] = []
    for run in having:
        rows.append([Cell(", ".join(filter(None, [lineage.label(run), measured_on(run).text])))])
        for name, found in run.figures["classes"].items():
            boxes = Cell(f"{found['boxes']:,}", below="too few for a claim" if found["few"] else "")
            rows.append([Cell(name), boxes, *(_class_cell(run, name, path) for path in paths)])
    return _without_empty_columns(Table("Class by class", ["class", "boxes", *paths.values()], rows, _INTERVAL))


def _class_cell(run: ReportedRun, name: str, path: str) -> Cell:
    unit = {"drop": "relative_ap_drop", "early": "policy.exit_rates"}.get(path.split(".")[0], path)
    return _cell_of(run.figures["classes"][name], path, unit, f"classes.{name}", run)


def _cell_of(found: Mapping[str, Any], path: str, unit: str, where: str, run: ReportedRun) -> Cell:
    """A figure of a part of metrics.json, in the unit of another path, with its interval where there is one."""
    value = lookup(found, path)
    if value is None:
        return ABSENT
    below = between(found.get("intervals", {}).get(path), unit)
    return Cell(number(value, unit), value, f"{where}.{path} of {run.id}", below)


def kinds_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table:
    """AP50 by number, size and crowding of objects, and where images of each kind leave."""
    having = [run for run in runs if run.figures.get("by")]
    exits = exit_names(having)
    paths = {f"{name}.AP50": f"AP50 {name}" for name in (*exits, "policy")}
    paths |= {"relative_ap_drop": "AP drop"} | {f"exit_rates.{name}": f"leave at {name}" for name in exits}
    rows: list[list[Cell]] = []
    for run in having:
        rows.append([Cell(", ".join(filter(None, [lineage.label(run), measured_on(run).text])))])
        for group, kinds in run.figures["by"].items():
            for kind, found in kinds.items():
                cells = [_cell_of(found, path, f"policy.{path}", f"by.{group}.{kind}", run) for path in paths]
                rows.append([Cell(f"{group}: {kind}"), Cell(f"{found['images']:,}"), *cells])
    return _without_empty_columns(Table("By kind of image", ["kind", "images", *paths.values()], rows, _INTERVAL))


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


def _note(runs: Sequence[ReportedRun]) -> str:
    return _INTERVAL if any("intervals" in run.figures for run in runs) else ""


def _policy(run: ReportedRun, against: bool = False) -> Cell:
    name = lookup(run.figures, "policy.name") or run.tuning.get("chosen")
    baseline = lookup(run.figures, "baseline.run") if against else None
    if name is None and baseline is None:
        return ABSENT
    return Cell(str(name or "none"), below=f"against {baseline}" if baseline else "")


def _text(value: str | None) -> Cell:
    return ABSENT if value is None else Cell(value)


def _started(run: ReportedRun) -> Cell:
    started, seconds = lookup(run.provenance, "times.started"), lookup(run.provenance, "times.seconds")
    if started is None:
        return ABSENT
    took = f"took {timedelta(seconds=round(seconds))}"
    return Cell(datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M"), below=took)


def _without_empty_columns(table: Table) -> Table:
    whole = [row for row in table.rows if len(row) == len(table.columns)]
    kept = [place for place in range(len(table.columns)) if any(row[place] != ABSENT for row in whole)]
    rows = [[row[place] for place in kept] if len(row) == len(table.columns) else row for row in table.rows]
    return Table(table.title, [table.columns[place] for place in kept], rows, table.note)
