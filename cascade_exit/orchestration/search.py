"""A search: trials are ordinary runs, chosen by what the trials before them came to."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_exit.orchestration.executor import Executor
from cascade_exit.orchestration.job import Job, command_of
from cascade_exit.orchestration.search_settings import Choice, SearchConfig
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.standing import job_standing
from cascade_exit.orchestration.study import Study
from cascade_exit.orchestration.sweep import READ_SECONDS, Sweep
from cascade_exit.orchestration.view import View
from cascade_exit.runs import (
    Manifest,
    Record,
    SchemaError,
    UserError,
    closest,
    hold_lock,
    identity_hash,
    identity_of,
    is_locked,
)

_IDLE_SECONDS = 1.0


@dataclass
class _Open:
    trial: Any
    job: Job
    pruned: bool = False


def search_folder(config: SearchConfig) -> Path:
    """Where a search lies: the same settings find it again; how many trials and how many at a time do not matter."""
    return Path(config.searches_root) / f"{config.name}-{identity_hash('search', identity_of(config), {}, [])}"


class Search:
    """One process's part in a search."""

    def __init__(
        self,
        config: SearchConfig,
        settings: LaunchConfig,
        folder: Path,
        view: View,
        names: dict[str, str],
        job_of: Callable[[tuple[str, ...]], Job],
        executor: Executor | None = None,
        gpus: tuple[str, ...] = (),
        command: Callable[[Job], list[str]] = command_of,
    ) -> None:
        """Starts nothing yet.

        Args:
            config: what is sought.
            settings: how jobs run.
            folder: of the search.
            view: where it is shown.
            names: by id, how jobs are called; written here as they come.
            job_of: a job from its key=value words; SchemaError where they make none.
            executor: takes the jobs; none: processes of this machine.
            gpus: those to hand out, one per job.
            command: the command line that does a job.
        """
        self._config, self._settings, self._folder, self._view = config, settings, folder, view
        self._names, self._job_of = names, job_of
        self._executor, self._gpus, self._command = executor, gpus, command
        self._open: list[_Open] = []
        self._looked = float("-inf")

    def run(self) -> int:
        """Works until all trials are done, or as long as it is let.

        Returns:
            0, or 128 + the signal that ended it.

        Raises:
            UserError: an objective names no figure of the runs, or the ledger cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with hold_lock(self._folder, wait=True):  # two processes must not choose the same part
                worker = self._free_worker()
                self._sweep = Sweep(
                    [], self._settings, self._folder / worker, self._view, self._executor, self._gpus, self._command
                )
                caught = stack.enter_context(self._sweep.at_work())
            self.study = Study(self._config, self._folder, worker)
            while not caught and (self._ask_for_more() or self._open):
                self._sweep.step()
                if not self._sweep.busy:
                    time.sleep(_IDLE_SECONDS if self._open else 0)
                self._watch()
                self._settle()
                if self._sweep.stopped and not self._sweep.busy:
                    break
        return 128 + caught[0] if caught else 0

    def _free_worker(self) -> str:
        number = 0
        while is_locked(self._folder / f"worker-{number}"):
            number += 1
        return f"worker-{number}"

    def _ask_for_more(self) -> bool:
        """Opens trials up to the number of jobs at a time; says whether it opened one."""
        opened = False
        while len(self._open) < self._settings.parallel and not self._sweep.stopped:
            asked = self.study.next()
            if asked is None:
                break
            self._begin(*asked)
            opened = True
        return opened

    def _begin(self, trial: Any, parameters: Mapping[str, Choice]) -> None:
        try:
            job = self._job_of(self._config.words(parameters))
        except SchemaError as error:
            self.study.fail(trial, error.lines[0])
            self._view.say(None, f"trial {trial.number} failed: {error.lines[0]}")
            return
        words = self._config.words(parameters)[-len(parameters) :]
        self._names[job.id] = f"trial {trial.number}: {' '.join(words)}"
        known = any(other.job == job for other in self._open)
        self._open.append(_Open(trial, job))
        if not known:
            self._sweep.add(job)
            self._settle()

    def _watch(self) -> None:
        """Ends trials early that the pruner gives up, and looks again at runs that other processes have open."""
        if time.monotonic() - self._looked < READ_SECONDS:
            return
        self._looked = time.monotonic()
        for opened in self._open:
            progress = self._sweep.progress_of(opened.job)
            if progress is None:
                if not self._sweep.holds(opened.job) and self._ended_elsewhere(opened.job):
                    self._sweep.add(opened.job)
            elif progress.run and not opened.pruned and self.study.report(opened.trial, _epochs(progress.run)):
                self._give_up(opened.job)

    def _give_up(self, job: Job) -> None:
        for opened in self._open:
            opened.pruned = opened.pruned or opened.job == job  # two trials may have drawn the same
        self._view.say(job, "given up: below the median of the trials before")
        self._sweep.drop(job)

    def _ended_elsewhere(self, job: Job) -> bool:
        row = self._sweep.rows.get(job.id)
        return row is not None and row.state == "running" and job_standing(job, row).state != "running"

    def _settle(self) -> None:
        """Tells the study what has ended."""
        for opened in list(self._open):
            row = self._sweep.rows.get(opened.job.id)
            if row is None or self._sweep.holds(opened.job):
                continue
            if row.state == "finished" and row.run:
                self._complete(opened, row.run)
            elif row.state == "failed":
                self.study.fail(opened.trial, row.error or "failed", row.run)
            elif row.state == "interrupted" and opened.pruned:
                self.study.prune(opened.trial, row.run)
            else:
                continue
            self._open.remove(opened)

    def _complete(self, opened: _Open, run: str) -> None:
        metrics = Manifest.read(Path(run)).metrics
        values = [figure(metrics, objective.metric, run) for objective in self._config.objectives]
        self.study.report(opened.trial, _epochs(Path(run)))
        self.study.complete(opened.trial, values, run)
        told = ", ".join(f"{o.metric} {value:.4g}" for o, value in zip(self._config.objectives, values, strict=True))
        self._view.say(None, f"trial {opened.trial.number}: {told}")


def figure(metrics: Mapping[str, Any], place: str, run: str) -> float:
    """A figure of a run's metrics.

    Raises:
        UserError: there is none at this place.
    """
    flat = _flat(metrics)
    if place not in flat:
        raise UserError(f"objective {place}: run {run} has no such figure{closest(place, flat)}")
    return flat[place]


def _flat(metrics: Mapping[str, Any], key: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        place = f"{key}.{name}" if key else name
        if isinstance(value, Mapping):
            flat |= _flat(value, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[place] = float(value)
    return flat


def _epochs(run: Path) -> list[dict[str, Any]]:
    try:
        return Record(run / "metrics.jsonl").read()
    except (OSError, UserError):  # a look from outside must not end a search
        return []
