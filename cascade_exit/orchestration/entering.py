"""`start_from`: which phases of a pipeline are given by runs that are there already."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_exit.orchestration.lineage import KnownRun
from cascade_exit.orchestration.phases import Phases, describe
from cascade_exit.runs import UserError, closest, differences, find_run
from cascade_exit.runtime.detector import model_id
from cascade_exit.runtime.kept_model import DESCRIPTION, is_kept

_EXPERIMENT = re.compile(r"(?:^|\s)experiment=(\S+)")


@dataclass(frozen=True)
class Entry:
    """Where a pipeline is entered.

    Attributes:
        runs: folder of the run of each phase that is given, those included that a given run was itself made from.
        first: place of the first phase that may run.
        parents: ids of the runs that the user named.
    """

    runs: Mapping[str, Path]
    first: int = 0
    parents: tuple[str, ...] = ()

    @classmethod
    def of(cls, phases: Phases, start_from: str | dict[str, str] | None, root: Path) -> "Entry":
        """Finds the runs, and the phases that they stand for.

        Args:
            phases: of the pipeline.
            start_from: a run, or runs by phase.
            root: folder of all runs.

        Raises:
            UserError: a run is not there, is not finished, or stands for no phase of the pipeline.
        """
        if not start_from:
            return cls({})
        named = _by_phase(phases, start_from, root)
        runs = dict(named)
        for name, folder in named.items():
            _add_sources(phases, name, folder, root, runs)
        first = 1 + max(phases.names.index(name) for name in named)
        return cls(runs, first, tuple(model_id(folder) for folder in named.values()))


@dataclass(frozen=True)
class _Given:
    """A finished run or kept model as far as phases are told by it."""

    verb: str
    experiment: str | None
    identity: Mapping[str, Any]
    model: Any

    @classmethod
    def read(cls, reference: str, folder: Path) -> "_Given":
        if is_kept(folder):
            kept = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            return cls("train", _experiment(kept.get("provenance", {}).get("command", "")), {}, kept.get("model"))
        run = KnownRun.read(folder)
        if run.state != "finished":
            raise UserError(f"start_from={reference}: {folder} is {run.state}; a pipeline starts from a finished run")
        manifest = run.manifest
        return cls(manifest.verb, _experiment(manifest.command), manifest.identity, manifest.identity.get("model"))


def _by_phase(phases: Phases, start_from: str | dict[str, str], root: Path) -> dict[str, Path]:
    if isinstance(start_from, str):
        folder = _found(start_from, root)
        return {_phase_of(phases, start_from, _Given.read(start_from, folder)): folder}
    named = {}
    for name, reference in start_from.items():
        if name not in phases.names:
            raise UserError(
                f"start_from: pipeline {phases.settings.name} has no phase {name}{closest(name, phases.names)}; "
                f"it has {', '.join(phases.names)}"
            )
        folder, verb = _found(reference, root), phases.settings.phases[name].verb
        given = _Given.read(reference, folder)
        if given.verb != verb:
            raise UserError(f"start_from: phase {name} is a {verb} run, but {reference} is a {given.verb} run")
        named[name] = folder
    return named


def _found(reference: str, root: Path) -> Path:
    try:
        return find_run(reference, root)
    except UserError as error:
        raise UserError(f"start_from={reference}: {error}") from error


def _phase_of(phases: Phases, reference: str, given: _Given) -> str:
    of_verb = [name for name in phases.names if phases.settings.phases[name].verb == given.verb]
    if len(of_verb) == 1:
        return of_verb[0]
    jobs = {name: phases.drafted(name) for name in of_verb}
    ways = (
        [name for name in of_verb if not differences(given.identity, jobs[name].identity)],
        [
            name
            for name in of_verb
            if given.experiment and given.experiment == _experiment(" ".join(jobs[name].overrides))
        ],
        [name for name in of_verb if given.model and not differences(given.model, jobs[name].config.get("model"))],
    )
    for fitting in ways:
        if len(fitting) == 1:
            return fitting[0]
    what = f"{given.verb} experiment={given.experiment}" if given.experiment else given.verb
    expected = ", ".join(describe(name, phases.settings.phases[name]) for name in phases.names)
    which = f"; 'start_from={{{of_verb[0]}: {reference}}}' says which" if of_verb else ""
    raise UserError(
        f"start_from={reference} ({what}) stands for no one phase of pipeline {phases.settings.name}: "
        f"it has {expected}{which}"
    )


def _add_sources(phases: Phases, name: str, folder: Path, root: Path, runs: dict[str, Path]) -> None:
    """Adds the runs that a given run was made from, where it says which they were and they are still there."""
    if is_kept(folder):
        return
    config = KnownRun.read(folder).manifest.config
    for key, taken in phases.settings.phases[name].takes.items():
        sources = [taken] if isinstance(taken, str) else list(taken)
        references = config.get(key)
        references = references if isinstance(references, list) else [references]
        for source, reference in zip(sources, references, strict=False):
            if source in runs or not reference:
                continue
            try:
                found = find_run(reference, root)
                runs[source] = found
                _add_sources(phases, source, found, root, runs)
            except UserError:  # such as init=FILE: no run, so the phase counts as not given
                runs.pop(source, None)


def _experiment(command: str) -> str | None:
    found = _EXPERIMENT.search(command)
    return found[1] if found else None
