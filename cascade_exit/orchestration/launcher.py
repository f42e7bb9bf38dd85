"""Hydra's `-m`: every job a process of its own, and the same command goes on with what is missing."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from cascade_exit.config import Call, RunPlace, Task, read_jobs, refuse, run_app
from cascade_exit.orchestration.executors import open_executor
from cascade_exit.orchestration.gpus import visible_gpus
from cascade_exit.orchestration.job import Job, labels, sweep_id
from cascade_exit.orchestration.ledger import Ledger
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.standing import job_standing
from cascade_exit.orchestration.sweep import Sweep
from cascade_exit.orchestration.view import View, dry_run_table, end_table
from cascade_exit.runs import SchemaError, UserError, build

C = TypeVar("C", bound=RunPlace)
_FILE_WIDTH = 160  # of tables, where stderr is a file or a pipe


def run_verb(verb: str, schema: type[C], work: Callable[[C, Call], Path]) -> None:
    """Runs a verb with the process's command line, or with `-m` a sweep of it; see `config.run_app`."""
    register()
    run_app(verb, schema, work)


def launch_settings() -> LaunchConfig:
    """`hydra.launcher`, for a verb that hands in jobs of its own.

    Raises:
        SchemaError: a setting does not fit.
    """
    values: Any = OmegaConf.to_container(HydraConfig.get().launcher)
    return build(LaunchConfig, {key: value for key, value in values.items() if key != "_target_"}, "hydra.launcher")


def register() -> None:
    """Makes the launcher known to Hydra, which takes plugins from the package `hydra_plugins` alone, by name."""
    Plugins.instance().register(SweepLauncher)
    for name in ("hydra_plugins", SweepLauncher.__module__):
        try:
            importlib.import_module(name)
        except ImportError:  # made up, so that no package of that name need be installed
            module = ModuleType(name)
            module.__path__ = []
            sys.modules[name] = module
    vars(sys.modules["hydra_plugins"])["cascade_exit"] = sys.modules[SweepLauncher.__module__]
    vars(sys.modules[SweepLauncher.__module__])[SweepLauncher.__name__] = SweepLauncher


class SweepLauncher(Launcher):
    """Runs the jobs of a sweep; `hydra.launcher` holds its settings."""

    # See `register`.
    __module__ = "hydra_plugins.cascade_exit"

    def __init__(self, **settings: Any) -> None:
        """Keeps the settings; they are checked when jobs are there."""
        self._settings: Any = OmegaConf.to_container(OmegaConf.create(settings))

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keeps what Hydra gives every launcher."""
        self._task: Any = task_function
        self._folder = Path(str(config.hydra.sweep.dir))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs; ends the program with the sweep's exit code unless all are finished."""
        # Hydra's sweeper leaves its own settings there, which belong to no sweep.
        (self._folder / "multirun.yaml").unlink(missing_ok=True)
        try:
            settings = build(LaunchConfig, self._settings, "hydra.launcher")
            jobs = _jobs(self._task, job_overrides)
        except SchemaError as error:
            refuse(error.lines)
        folder = self._folder / sweep_id(jobs)
        console = Console(stderr=True, soft_wrap=True, width=None if sys.stderr.isatty() else _FILE_WIDTH)
        try:
            if settings.dry_run:
                _show_what_would_run(jobs, folder, console)
            else:
                _run(jobs, settings, folder, console)
        except (UserError, OSError) as error:  # such as a full disk, under the ledger itself
            refuse([str(error)], 1)
        print(folder)
        return [JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED) for job in jobs]


def _jobs(task: Task[C], job_overrides: Sequence[Sequence[str]]) -> list[Job]:
    verb, overrides = task.call.verb, [tuple(words) for words in job_overrides]
    configs = read_jobs(verb, task.schema, overrides)
    jobs = [Job.of(verb, words, config) for words, config in zip(overrides, configs, strict=True)]
    return list({job.id: job for job in jobs}.values())


def _show_what_would_run(jobs: list[Job], folder: Path, console: Console) -> None:
    rows = Ledger(folder).rows
    console.print(dry_run_table(jobs, {job.id: job_standing(job, rows.get(job.id)) for job in jobs}, folder))
    with contextlib.suppress(OSError):
        os.rmdir(folder.parent)  # made by Hydra's sweeper; stays where there are sweeps


def _run(jobs: list[Job], settings: LaunchConfig, folder: Path, console: Console) -> None:
    gpus = visible_gpus() if settings.executor == "local" and settings.parallel > 1 else []
    with open_executor(settings, folder) as executor, View(console, labels(jobs)) as view:
        sweep = Sweep(jobs, settings, folder, view, executor, gpus)
        code = sweep.run()
    console.print(end_table(jobs, sweep.rows, folder))
    if code:
        print(folder)
        sys.exit(code)
