"""Runs the phases of a pipeline one after the other, each in a process of its own, and only what is missing."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from cascade_exit.orchestration.entering import Entry
from cascade_exit.orchestration.job import command_of
from cascade_exit.orchestration.ledger import Ledger, LedgerRow
from cascade_exit.orchestration.phases import Phases, Step
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.sweep import Sweep
from cascade_exit.orchestration.view import View
from cascade_exit.runs import Manifest, Run, UserError, find_run, list_runs
from cascade_exit.runtime.detector import model_id

VERB = "pipeline"
PHASES = "phases"  # folder of ledger and logs, and the key of the runs in the manifest's metrics


def earlier_runs(name: str, root: Path) -> dict[str, Manifest]:
    """By phase, the run that a pipeline of this name came to last time, whatever its settings were."""
    records = []
    for folder in list_runs(root):
        if folder.parent.name == VERB and (manifest := _readable(folder)):
            settings = manifest.config.get("pipeline") or {}
            if settings.get("name") == name:
                records.append(manifest)
    found: dict[str, Manifest] = {}
    for record in sorted(records, key=lambda one: one.times.finished or one.times.started, reverse=True):
        for phase, reference in record.metrics.get(PHASES, {}).items():
            if phase not in found and (manifest := _named(reference, root)):
                found[phase] = manifest
    return found


def plan(phases: Phases, entry: Entry, folder: Path) -> list[Step]:
    """How every phase stands before any is started.

    Args:
        phases: of the pipeline.
        entry: where it is entered.
        folder: of the pipeline's run, which need not be there.

    Raises:
        UserError: a phase needs the run of one that is left out and has none.
    """
    rows = Ledger(folder / PHASES).rows
    runs: dict[str, Path | None] = {}
    steps = []
    for place, name in enumerate(phases.names):
        step = _step(phases, entry, place, runs, rows)
        runs[name] = step.run if step.state in ("done", "given") else None
        steps.append(step)
        if place >= entry.first:
            _refuse_what_was_left_out(phases, name, steps)
    return steps


def run_phases(phases: Phases, entry: Entry, run: Run, console: Console) -> list[Step]:
    """Runs what is missing.

    Args:
        phases: of the pipeline.
        entry: where it is entered.
        run: the pipeline's own.
        console: where it is shown.

    Returns:
        How every phase stood when its turn came.

    Raises:
        UserError: a phase failed, or its run is open in another process.
        SystemExit: the pipeline was asked to end, and has ended the phase that ran.
    """
    folder = run.folder / PHASES
    runs: dict[str, Path | None] = {}
    names: dict[str, str] = {}
    steps = []
    with View(console, names) as view:
        for place, name in enumerate(phases.names):
            step = _step(phases, entry, place, runs, Ledger(folder).rows)
            if step.state == "due":
                runs[name] = _run_phase(phases, name, runs, folder, view, names)
            elif step.state == "running":
                raise _open_elsewhere(name, step.run)
            else:
                runs[name] = step.run
                view.say(None, f"{name}: {step.why}" + (f" ({step.run})" if step.run else ""))
            steps.append(replace(step, run=runs[name]))
            if made := runs[name]:
                run.manifest.metrics.setdefault(PHASES, {})[name] = model_id(made)
                run.save()
    return steps


def _step(
    phases: Phases, entry: Entry, place: int, runs: Mapping[str, Path | None], rows: Mapping[str, LedgerRow]
) -> Step:
    name = phases.names[place]
    if name in entry.runs and place < entry.first:
        return Step(name, "given", "given by start_from", entry.runs[name])
    step = phases.step(name, runs, rows)
    if place < entry.first and step.state != "done":
        return Step(name, "left out", "lies before start_from")
    return step


def _refuse_what_was_left_out(phases: Phases, name: str, steps: list[Step]) -> None:
    left_out = {step.name for step in steps if step.state == "left out"}
    if needed := [source for source in phases.settings.phases[name].sources if source in left_out]:
        given = ", ".join(
            f"{step.name}: {phases.reference(step.run)}" for step in steps if step.state == "given" and step.run
        )
        raise UserError(
            f"start_from: phase {name} takes the run of {needed[0]}, which is not there yet: name one as well, with "
            f"'start_from={{{given}, {needed[0]}: RUN}}', or run the pipeline without start_from"
        )


def _run_phase(
    phases: Phases, name: str, runs: Mapping[str, Path | None], folder: Path, view: View, names: dict[str, str]
) -> Path:
    job = phases.job(name, phases.references(runs))
    names[job.id] = name
    sweep = Sweep(
        [job], LaunchConfig(), folder, view, command=command_of, standing=partial(phases.standing, name, runs)
    )
    code = sweep.run()
    if code >= 128:
        sys.exit(code)
    row = sweep.rows[job.id]
    if row.state == "finished" and row.run:
        return Path(row.run)
    if row.state == "running":
        raise _open_elsewhere(name, row.run)
    log = folder / "logs" / f"{job.id}.log"
    raise UserError(
        f"phase {name} failed: {row.error} (log: {log}); once that is mended, the same command goes on here"
    )


def _open_elsewhere(name: str, run: Path | str | None) -> UserError:
    return UserError(
        f"phase {name}: {run} is open in another process: wait until that ends, and give the command again"
    )


def _readable(folder: Path) -> Manifest | None:
    try:
        return Manifest.read(folder)
    except UserError:
        return None


def _named(reference: str, root: Path) -> Manifest | None:
    try:
        return _readable(find_run(reference, root))
    except UserError:
        return None
