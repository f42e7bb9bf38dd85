"""`search`: looks for the best settings; every trial is an ordinary run."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cascade_exit.apps.console import people
from cascade_exit.config import Call, EvaluateConfig, RunPlace, TrainConfig, TuneConfig, read_jobs, refuse
from cascade_exit.orchestration import Job, Search, SearchConfig, launch_settings, run_verb, search_folder
from cascade_exit.orchestration.executors import open_executor
from cascade_exit.orchestration.gpus import visible_gpus
from cascade_exit.orchestration.search_settings import word
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.study import Study, TrialRow, import_optuna
from cascade_exit.orchestration.view import View
from cascade_exit.report import Tried, save_figure, trials_figure
from cascade_exit.runs import SchemaError, UserError, atomic_write_json, hold_lock, is_locked

_SCHEMAS: dict[str, type[RunPlace]] = {"train": TrainConfig, "tune": TuneConfig, "evaluate": EvaluateConfig}
_COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


def work(config: SearchConfig, call: Call) -> Path:
    """Searches on from where the same search was left."""
    console, folder = people(), search_folder(config)
    try:
        settings = launch_settings()
        corners = _checked_corners(config)
    except SchemaError as error:
        refuse(error.lines)
    import_optuna()
    if config.dry_run or settings.dry_run:
        console.print(_space_table(config, f"{folder}: {corners} corners of the space are valid"), highlight=False)
        return folder
    if config.force:
        _clear(folder)
    code, study = _search(config, settings, folder, console)
    _show(config, study, folder, console)
    if code or not study.best():
        print(folder)
        sys.exit(code or 1)
    return folder


def _checked_corners(config: SearchConfig) -> int:
    """How many configurations at the ends of the space were composed and checked.

    Raises:
        SchemaError: one is wrong.
    """
    words = [config.words(corner) for corner in config.corners()]
    read_jobs(config.verb, _SCHEMAS[config.verb], words)
    return len(words)


def _clear(folder: Path) -> None:
    """Forgets what was tried; the runs stay."""
    if not folder.exists():
        return
    with hold_lock(folder, wait=True):
        if any(is_locked(worker) for worker in folder.glob("worker-*")):
            raise UserError(f"{folder} is in use by another process: wait until it ends, or end it")
    shutil.rmtree(folder)


def _search(config: SearchConfig, settings: LaunchConfig, folder: Path, console: Console) -> tuple[int, Study]:
    def job_of(words: tuple[str, ...]) -> Job:
        [built] = read_jobs(config.verb, _SCHEMAS[config.verb], [words])
        return Job.of(config.verb, words, built)

    gpus = visible_gpus() if settings.executor == "local" and settings.parallel > 1 else []
    names: dict[str, str] = {}
    with open_executor(settings, folder) as executor, View(console, names) as view:
        search = Search(config, settings, folder, view, names, job_of, executor, tuple(gpus))
        return search.run(), search.study


def _show(config: SearchConfig, study: Study, folder: Path, console: Console) -> None:
    """The table, the figure and the command lines of the best."""
    rows, best = study.rows(), set(study.best())
    commands = {row.number: _command(config, row) for row in rows}
    trials = [vars(row) | {"best": row.number in best, "command": commands[row.number]} for row in rows]
    measures = [objective.metric for objective in config.objectives]
    atomic_write_json(folder / "trials.json", {"objectives": measures, "trials": trials})
    console.print(_trials_table(config, rows, best, f"{folder}: {len(rows)} of {config.trials} trials"))
    if not best:
        console.print("No trial gave figures.")
        return
    tried = [Tried(row.number, row.values, row.number in best) for row in rows if row.state == "complete"]
    larger = [objective.direction == "maximize" for objective in config.objectives]
    save_figure(trials_figure(tried, measures, larger), folder / "trials.png")
    console.print("The best:" if len(best) == 1 else "The best, none of which beats another in both figures:")
    for number in sorted(best):
        console.print(f"  trial {number}: {escape(commands[number])}", highlight=False)


def _command(config: SearchConfig, row: TrialRow) -> str:
    return shlex.join(["cascade-exit", config.verb, *config.words(row.parameters)])


def _trials_table(config: SearchConfig, rows: Sequence[TrialRow], best: set[int], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("state")
    for key in config.space:
        table.add_column(_short(key, config), justify="right", overflow="fold")
    for objective in config.objectives:
        table.add_column(objective.metric, justify="right", overflow="fold")
    table.add_column("run")
    if any(row.error for row in rows):
        table.add_column("error", overflow="fold")
    for row in rows:
        cells = [f"{row.number}{' *' if row.number in best else ''}", f"[{_COLOURS[row.state]}]{row.state}[/]"]
        cells += [word(row.parameters.get(key)) if key in row.parameters else "" for key in config.space]
        cells += [_figure(value) for value in row.values] or [""] * len(config.objectives)
        cells.append(row.run.rsplit("-", 1)[-1] if row.run else "")
        cells += [escape(row.error or "")] if any(row.error for row in rows) else []
        table.add_row(*cells, style="bold" if row.number in best else None)
    return table


def _short(key: str, config: SearchConfig) -> str:
    """The last words of a key that no other key of the space ends with."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if sum(other == end or other.endswith(f".{end}") for other in config.space) == 1:
            return end
    return key


def _figure(value: Any) -> str:
    return f"{value / 1e6:.1f} M" if abs(value) >= 1e6 else f"{value:.4g}"


def _space_table(config: SearchConfig, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("key", "type", "values"):
        table.add_column(column, overflow="fold")
    for key, parameter in config.space.items():
        table.add_row(key, parameter.type, str(parameter))
    for objective in config.objectives:
        table.add_row(objective.metric, objective.direction, "objective", style="bold")
    table.caption = f"{config.trials} trials of: {' '.join(['cascade-exit', config.verb, *config.words({})])}"
    table.caption_justify = "left"
    return table


def main() -> None:
    """The command line."""
    run_verb("search", SearchConfig, work)


if __name__ == "__main__":
    main()
