"""What a pipeline is made of, and what `pipeline` and `runs` can be told."""

import re
from dataclasses import dataclass, field

from cascade_exit.config.schema import (
    BenchmarkConfig,
    DescribeConfig,
    EvaluateConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    RunPlace,
    TraceConfig,
    TrainConfig,
    TuneConfig,
)
from cascade_exit.runs import closest, not_identity

PHASE_VERBS: dict[str, type[RunPlace]] = {
    "train": TrainConfig,
    "trace": TraceConfig,
    "tune": TuneConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "benchmark": BenchmarkConfig,
    "export": ExportConfig,
    "describe": DescribeConfig,
    "report": ReportConfig,
}


@dataclass(frozen=True)
class Phase:
    """One step of a pipeline: a command line that makes a run.

    Attributes:
        verb: what it does.
        words: its key=value words.
        takes: by key, the earlier phase whose run it takes, or several for a key that takes a list.
    """

    verb: str
    words: tuple[str, ...] = ()
    takes: dict[str, str | tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.verb not in PHASE_VERBS:
            raise ValueError(
                f"verb={self.verb}: no such verb{closest(self.verb, PHASE_VERBS)}; there are {', '.join(PHASE_VERBS)}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """The phases whose runs it takes, each once."""
        given = [(names,) if isinstance(names, str) else names for names in self.takes.values()]
        return tuple(dict.fromkeys(name for names in given for name in names))


@dataclass(frozen=True)
class PipelineSettings:
    """A pipeline.

    Attributes:
        name: of the pipeline, the same over all its settings.
        phases: by name, in the order in which they run.
    """

    name: str
    phases: dict[str, Phase]

    def __post_init__(self) -> None:
        before: list[str] = []
        for name, phase in self.phases.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"a phase's name must be of a-z, 0-9 and _, got {name!r}")
            for source in phase.sources:
                if source not in before:
                    raise ValueError(f"phases.{name} takes the run of {source}, which must be a phase before it")
            before.append(name)
        if not before:
            raise ValueError("phases must hold at least one phase")


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(RunPlace):
    """`pipeline`.

    Attributes:
        pipeline: one of conf/pipeline.
        words: further key=value words, for the phases that have the key, or as PHASE.key=value for one of them.
        start_from: a run that stands for its phase, so that those before it are not run; or runs by phase.
        dry_run: say which phases would run, and why; start nothing.
    """

    pipeline: PipelineSettings | None = None
    words: tuple[str, ...] = ()
    start_from: str | dict[str, str] | None = not_identity(None)
    dry_run: bool = not_identity(False)


@dataclass(frozen=True, kw_only=True)
class RunsConfig(RunPlace):
    """`runs`.

    Attributes:
        run: show what this run comes from and what came of it; none: list all runs.
    """

    run: str | None = not_identity(None)
