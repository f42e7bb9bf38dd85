"""What a search tries, and what it is after."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cascade_exit.config import RunPlace
from cascade_exit.runs import not_identity
from cascade_exit.runs.plain import join_key

Choice = str | int | float | bool | None
_CORNERS = 32


@dataclass(frozen=True)
class ParameterConfig:
    """One key that is searched.

    Attributes:
        type: float, int or categorical.
        low: least value of a number.
        high: greatest.
        step: between values of a number.
        log: numbers are drawn evenly on a logarithmic scale.
        choices: values of a categorical.
    """

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if self.type == "categorical":
            if not self.choices:
                raise ValueError("choices must be given for type=categorical")
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("low, high, step and log belong to numbers, not to type=categorical")
            return
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low and high must be given, low below high, got {self.low} and {self.high}")
        if self.choices:
            raise ValueError("choices belong to type=categorical")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and no step")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step}")
        if self.type == "int" and any(value is not None and value % 1 for value in (self.low, self.high, self.step)):
            raise ValueError("low, high and step must be whole numbers for type=int")

    @property
    def extremes(self) -> tuple[Choice, ...]:
        """Lowest and highest value, or every choice."""
        if self.type == "categorical":
            return self.choices
        number = int if self.type == "int" else float
        return number(self.low or 0), number(self.high or 0)

    def __str__(self) -> str:
        """Such as 64 to 256 by 64."""
        if self.type == "categorical":
            return ", ".join(word(choice) for choice in self.choices)
        step = f" by {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{', logarithmic' if self.log else ''}"


@dataclass(frozen=True)
class ObjectiveConfig:
    """A figure to be made large or small.

    Attributes:
        metric: its place in the metrics of a run, such as exits.full.AP.
        direction: maximize or minimize.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True)
class SamplerConfig:
    """Which configurations are tried.

    Attributes:
        name: tpe (Bergstra et al. 2011) or random.
        seed: of all that is drawn.
        startup_trials: drawn at random before tpe has something to go by.
    """

    name: Literal["tpe", "random"] = "tpe"
    seed: int = 0
    startup_trials: int = 10


@dataclass(frozen=True)
class PrunerConfig:
    """Which trials are ended early; one objective only, since two have no order.

    Attributes:
        name: none; median: those below the median of the trials before, at the same epoch.
        metric: the figure that is compared after every epoch, a key of metrics.jsonl.
        startup_trials: that are not ended.
        warmup_epochs: in which none is ended.
    """

    name: Literal["none", "median"] = "none"
    metric: str = "val/full/AP"
    startup_trials: int = 5
    warmup_epochs: int = 3


@dataclass(frozen=True, kw_only=True)
class SearchConfig(RunPlace):
    """`search`.

    Attributes:
        name: of the search, for people.
        verb: that a trial runs.
        base: settings of every trial.
        space: keys that are searched.
        objectives: what is sought; two are a trade-off.
        trials: how many in all, those of earlier calls included.
        sampler: see above.
        pruner: see above.
        storage: sqlite; journal: for network file systems without locks.
        searches_root: folder of all searches.
        dry_run: show the space and check its corners.
    """

    name: str = not_identity()
    verb: Literal["train", "tune", "evaluate"] = "train"
    base: dict[str, Any] = field(default_factory=dict)
    space: dict[str, ParameterConfig]
    objectives: tuple[ObjectiveConfig, ...]
    trials: int = not_identity()
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    pruner: PrunerConfig = field(default_factory=PrunerConfig)
    storage: Literal["sqlite", "journal"] = not_identity("sqlite")
    searches_root: str = not_identity("searches")
    dry_run: bool = not_identity(False)

    def __post_init__(self) -> None:
        if not self.space:
            raise ValueError("space must name at least one key")
        if not 1 <= len(self.objectives) <= 2:
            raise ValueError(f"objectives must be one or two, got {len(self.objectives)}")
        if self.pruner.name != "none" and len(self.objectives) > 1:
            raise ValueError(
                f"pruner.name must be none with {len(self.objectives)} objectives: no trial is below another by two "
                f"figures at once; got {self.pruner.name}"
            )
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")
        if self.run_dir is not None:
            raise ValueError("run_dir must be null: every trial has a folder of its own")

    def words(self, parameters: Mapping[str, Choice]) -> tuple[str, ...]:
        """The key=value words of a trial."""
        place = [("runs_root", self.runs_root)] if self.runs_root != RunPlace.runs_root else []
        return tuple(f"{key}={word(value)}" for key, value in [*_flat(self.base), *place, *parameters.items()])

    def corners(self) -> list[dict[str, Choice]]:
        """Configurations at the ends of the space: all of them, or where these are many, one key at a time."""
        extremes = {key: parameter.extremes for key, parameter in self.space.items()}
        every = [dict(zip(extremes, values, strict=True)) for values in itertools.product(*extremes.values())][:999]
        if len(every) <= _CORNERS:
            return every
        first = {key: values[0] for key, values in extremes.items()}
        last = {key: values[-1] for key, values in extremes.items()}
        moved = [first | {key: value} for key, values in extremes.items() for value in values]
        return list({str(corner): corner for corner in [*moved, last]}.values())


def word(value: Any) -> str:
    """A value as the command line takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(word, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(values: Mapping[str, Any], key: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        place = join_key(key, name)
        flat += _flat(value, place) if isinstance(value, Mapping) else [(place, value)]
    return flat
