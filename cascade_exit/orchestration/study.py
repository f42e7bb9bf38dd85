"""A search's memory: which configurations were tried and how they did, shared by all processes that work on it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cascade_exit.orchestration.search_settings import Choice, ParameterConfig, SearchConfig
from cascade_exit.runs import UserError, hold_lock, is_locked

_NAME = "search"
_WORKER, _RUN, _ERROR = "worker", "run", "error"
_BUSY_SECONDS = 60  # for another process to let go of the database
TrialState = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialRow:
    """A trial as it stands.

    Attributes:
        number: from 0 on.
        state: what it came to.
        parameters: its configuration.
        values: of the objectives, where it is complete.
        run: the folder of its run, where one is known.
        error: the line that ended it, where it failed.
    """

    number: int
    state: TrialState
    parameters: dict[str, Any]
    values: tuple[float, ...]
    run: str | None
    error: str | None


class Study:
    """Optuna's study of a search; see `optuna.study.Study`."""

    def __init__(self, config: SearchConfig, folder: Path, worker: str) -> None:
        """Opens it, or begins it.

        Args:
            config: of the search.
            folder: of the search.
            worker: the folder below it that this process holds.

        Raises:
            UserError: Optuna is not installed.
        """
        optuna = import_optuna()
        self._config, self._folder, self._worker = config, folder, worker
        self._mine: set[int] = set()
        self._study = optuna.create_study(
            storage=_storage(config, folder),
            study_name=_NAME,
            directions=[objective.direction for objective in config.objectives],
            pruner=_pruner(config),
            load_if_exists=True,
        )

    def next(self) -> tuple[Any, dict[str, Choice]] | None:
        """A trial to do: one that a process left behind when it was killed, or a new one; None where all are done."""
        with hold_lock(self._folder, wait=True):
            trial = self._left_behind() or self._new()
            if trial is None:
                return None
            trial.set_user_attr(_WORKER, self._worker)
            self._mine.add(trial.number)
            return trial, {key: _suggest(trial, key, parameter) for key, parameter in self._config.space.items()}

    def _left_behind(self) -> Any:
        optuna = import_optuna()
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if trial.number not in self._mine and not self._is_at_work(trial.user_attrs.get(_WORKER)):
                return optuna.trial.Trial(self._study, trial._trial_id)
        return None

    def _is_at_work(self, worker: str | None) -> bool:
        return worker is not None and worker != self._worker and is_locked(self._folder / worker)

    def _new(self) -> Any:
        count = len(self._study.get_trials(deepcopy=False))
        if count >= self._config.trials:
            return None
        # Drawn from the number of the trial, so that a search that was interrupted does not draw the same again.
        self._study.sampler = _sampler(self._config, count)
        return self._study.ask()

    def report(self, trial: Any, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Hands on the figures of each epoch; says whether the trial should end here."""
        if self._config.pruner.name == "none":
            return False
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for row in rows:
            if "epoch" in row and self._config.pruner.metric in row and row["epoch"] not in known:
                trial.report(row[self._config.pruner.metric], row["epoch"])
        return bool(trial.should_prune())

    def complete(self, trial: Any, values: Sequence[float], run: str) -> None:
        """Puts down its figures."""
        trial.set_user_attr(_RUN, run)
        self._study.tell(trial, list(values))

    def prune(self, trial: Any, run: str | None) -> None:
        """Puts down that it was ended early."""
        trial.set_user_attr(_RUN, run)
        self._tell(trial, "PRUNED")

    def fail(self, trial: Any, error: str, run: str | None = None) -> None:
        """Puts down that it failed, and why."""
        trial.set_user_attr(_RUN, run)
        trial.set_user_attr(_ERROR, error)
        self._tell(trial, "FAIL")

    def _tell(self, trial: Any, state: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.tell(trial, state=import_optuna().trial.TrialState[state])

    def rows(self) -> list[TrialRow]:
        """All trials, of whatever process."""
        return [_row(trial) for trial in self._study.get_trials(deepcopy=False)]

    def best(self) -> list[int]:
        """Numbers of the trials that no other beats in every objective."""
        complete = [row for row in self.rows() if row.state == "complete"]
        signs = [1 if objective.direction == "maximize" else -1 for objective in self._config.objectives]
        scores = {row.number: [sign * value for sign, value in zip(signs, row.values, strict=True)] for row in complete}
        if len(signs) == 1 and scores:
            return [max(scores, key=lambda number: (scores[number], -number))]
        return [number for number in scores if not any(_beats(other, scores[number]) for other in scores.values())]


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("search needs Optuna: pip install 'cascade_exit[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _storage(config: SearchConfig, folder: Path) -> Any:
    optuna = import_optuna()
    if config.storage == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
        return optuna.storages.JournalStorage(backend)
    address = f"sqlite:///{(folder / 'study.db').absolute()}"
    return optuna.storages.RDBStorage(address, engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})


def _pruner(config: SearchConfig) -> Any:
    optuna, settings = import_optuna(), config.pruner
    if settings.name == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(settings.startup_trials, settings.warmup_epochs)


def _sampler(config: SearchConfig, number: int) -> Any:
    optuna, settings = import_optuna(), config.sampler
    seed = (settings.seed * 1_000_003 + number) % 2**32
    if settings.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=settings.startup_trials, seed=seed)


def _suggest(trial: Any, key: str, parameter: ParameterConfig) -> Choice:
    suggest: dict[str, Callable[[], Choice]] = {
        "categorical": lambda: trial.suggest_categorical(key, list(parameter.choices)),
        "int": lambda: trial.suggest_int(
            key, int(parameter.low or 0), int(parameter.high or 0), step=int(parameter.step or 1), log=parameter.log
        ),
        "float": lambda: trial.suggest_float(
            key, parameter.low, parameter.high, step=parameter.step, log=parameter.log
        ),
    }
    return suggest[parameter.type]()


def _row(trial: Any) -> TrialRow:
    states: dict[str, TrialState] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    state = states.get(trial.state.name, "running")
    attributes = trial.user_attrs
    values = tuple(trial.values) if state == "complete" else ()
    return TrialRow(trial.number, state, dict(trial.params), values, attributes.get(_RUN), attributes.get(_ERROR))


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
