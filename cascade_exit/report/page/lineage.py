"""Where runs come from: names for people, seeds, and which runs differ in their seed alone."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cascade_exit.data import ROLES
from cascade_exit.report.page.differences import distinguishing
from cascade_exit.report.page.source import KEPT, ReportedRun, experiment_of
from cascade_exit.runs import Manifest, UserError, list_runs

SEED = "seed"
Made = ReportedRun | Manifest


class Lineage:
    """The reported runs together with their ancestors, as far as those are found.

    Args:
        runs: those reported.
        root: folder of all runs; the folders that hold the reported ones are looked through as well.
    """

    def __init__(self, runs: Sequence[ReportedRun], root: Path) -> None:
        roots = [root, *(run.folder.resolve().parent.parent for run in runs if run.verb != KEPT)]
        self.runs = tuple(runs)
        self._folders = {
            path.name.rsplit("-", 1)[-1]: path for place in dict.fromkeys(roots) for path in list_runs(place)
        }
        self._found: dict[str, Made | None] = {run.id: run for run in runs}
        self._said = distinguishing([run for run in runs if run.verb == "train"])

    def name(self, run: Made) -> str:
        """What it is, for people: `demo, seed 1`, `evaluate models/chair`."""
        if run.verb == KEPT:
            return run.id
        if run.verb != "train":
            return f"{run.verb} {self._model(run)}".strip()
        experiment = experiment_of(run.command) or "train"
        said = self._said.get(run.id) or ({SEED: run.identity[SEED]} if SEED in run.identity else {})
        return ", ".join([experiment, *(f"{key} {value}" for key, value in said.items())])

    def label(self, run: Made) -> str:
        """Its name with its id, which tells it from all others."""
        return run.id if run.verb == KEPT else f"{self.name(run)} ({run.id})"

    def experiment(self, run: Made) -> str | None:
        """Its experiment, or that of the nearest ancestor with one."""
        if found := experiment_of(run.command):
            return found
        if run.verb == KEPT:
            return None
        made = (self.experiment(parent) for parent in self._parents(run))
        return next((found for found in made if found), None)

    def seed(self, run: Made) -> int | None:
        """Its seed, or that of the model that it is about."""
        if SEED in run.identity:
            return int(run.identity[SEED])
        model = self._find(run.parents[0]) if run.parents and run.verb != KEPT else None
        return None if model is None else self.seed(model)

    def seed_groups(self) -> list[tuple[ReportedRun, ...]]:
        """Finished runs that differ in nothing but the seed, theirs or that of what they start from; two at least."""
        by_signature: dict[str, list[ReportedRun]] = defaultdict(list)
        for run in self.runs:
            if run.finished:
                by_signature[self._signature(run)].append(run)
        groups = [tuple(sorted(group, key=lambda run: self.seed(run) or 0)) for group in by_signature.values()]
        return [group for group in groups if len(group) > 1 and self._all_seeds_differ(group)]

    def _all_seeds_differ(self, group: Sequence[ReportedRun]) -> bool:
        return len({self.seed(run) for run in group} - {None}) == len(group)

    def _signature(self, run: Made) -> str:
        if run.verb == KEPT:
            return run.id
        parents = [self._find(parent) for parent in run.parents]
        data = {name: of_it for name, of_it in run.data.items() if not _follows(name, [p for p in parents if p])}
        signature = {
            "verb": run.verb,
            "identity": {key: value for key, value in run.identity.items() if key != SEED},
            "data": data,
            "parents": [self._signature(p) if p else known for p, known in zip(parents, run.parents, strict=True)],
        }
        return json.dumps(signature, sort_keys=True)

    def _model(self, run: Made) -> str:
        if not run.parents:
            return ""
        model = self._find(run.parents[0])
        return run.parents[0] if model is None else self.name(model)

    def _parents(self, run: Made) -> list[Made]:
        found = (self._find(parent) for parent in run.parents)
        return [parent for parent in found if parent is not None]

    def _find(self, reference: str) -> Made | None:
        if reference not in self._found:
            folder = self._folders.get(reference)
            try:
                self._found[reference] = Manifest.read(folder) if folder else None
            except UserError:  # an ancestor that cannot be read is one that is not there
                self._found[reference] = None
        return self._found[reference]


def _follows(name: str, parents: Sequence[Any]) -> bool:
    """Whether a fingerprint says no more than the parents do: weights and policies that came from them."""
    if name in ROLES:
        return False
    if name == "policy":
        return any(parent.verb == "tune" for parent in parents)
    return bool(parents)
