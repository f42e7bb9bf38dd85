"""What each verb can be told."""

import re
from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.data import DataConfig, Role
from cascade_exit.model import FULL, ModelConfig
from cascade_exit.runs import not_identity
from cascade_exit.tracking import LoggerConfig
from cascade_exit.training import Schedule, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Where a run goes.

    Attributes:
        runs_root: folder of all runs.
        run_dir: this folder instead of one by identity.
        force: run anew even if the run is finished.
    """

    runs_root: str = not_identity("runs")
    run_dir: str | None = not_identity(None)
    force: bool = not_identity(False)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingConfig, RunPlace):
    """`train`.

    Attributes:
        data: the set, with its roles.
        logger: where measures go besides the run's own record.
        init: scratch, imagenet, coco, a file of weights, or a run.
        run: go on from this finished run with its weights, as a new run.
    """

    data: DataConfig = field(default_factory=DataConfig)
    logger: LoggerConfig = not_identity(default_factory=LoggerConfig)
    init: str = not_identity("scratch")
    run: str | None = not_identity(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        Schedule(self.schedule, self.trainer.max_epochs, self.model.exit_names)
        missing = [name for name in self.model.exit_names if name not in self.loss.exit_weights]
        if missing:
            raise ValueError(f"loss.exit_weights must give a weight to {', '.join(missing)}")
        if (
            self.schedule.static.share == 0
            and self.schedule.exits.share > 0
            and self.init == "scratch"
            and not self.run
        ):
            raise ValueError(
                "schedule.static.share must be above 0 with init=scratch: exits would learn on a random trunk"
            )
        if self.optimizer.frozen_features and self.init == "scratch" and not self.run:
            raise ValueError("optimizer.frozen_features must be 0 with init=scratch: random features would never learn")
        if self.loss.exit_weights[FULL] <= 0 and self.schedule.static.share > 0:
            raise ValueError(f"loss.exit_weights.{FULL} must be above 0 where schedule.static has a share")


@dataclass(frozen=True, kw_only=True)
class TraceConfig(RunPlace):
    """`trace`: what every exit says of every image of a split.

    Attributes:
        run: the trained model: a run, or models/<name>.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        split: the role to trace.
        score_threshold: detections from this score on count for recall, F1 and false positives of each image.
        device: cpu, cuda, ….
        batch_size: images per batch.
    """

    run: str = not_identity()
    data: DataConfig | None = None
    split: Role = "calibrate"
    score_threshold: float = 0.3
    device: str = not_identity("cpu")
    batch_size: int = not_identity(16)

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must lie in [0, 1), got {self.score_threshold}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(RunPlace):
    """`evaluate`.

    Attributes:
        run: the trained model: a run, or models/<name>.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        role: which part of it; no other is opened.
        policy: none: every exit answers for every image.
        baseline: a static model, run or models/<name>, that is measured on the same images.
        backend: what computes.
        threads: CPU threads; none: torch's choice.
        device: cpu, cuda, ….
        batch_size: images per batch.
        bootstrap: resamples of the images for the intervals; 0: no intervals.
        pictures: images in the picture grid.
    """

    run: str = not_identity()
    data: DataConfig | None = None
    role: Role = "test"
    policy: Literal["none"] = "none"
    baseline: str | None = not_identity(None)
    backend: Literal["torch"] = "torch"
    threads: int | None = not_identity(None)
    device: str = not_identity("cpu")
    batch_size: int = not_identity(16)
    bootstrap: int = 1000
    pictures: int = not_identity(8)

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1 or null, got {self.threads}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        for key in ("bootstrap", "pictures"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key} must not be negative, got {getattr(self, key)}")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(RunPlace):
    """`predict`.

    Attributes:
        run: the trained model: a run, or models/<name>.
        source: a photo, a folder of photos, or a video.
        score_threshold: weaker boxes are not drawn.
        device: cpu, cuda, ….
    """

    run: str = not_identity()
    source: str = not_identity()
    score_threshold: float = 0.4
    device: str = not_identity("cpu")

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must lie in [0, 1), got {self.score_threshold}")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(RunPlace):
    """`export`.

    Attributes:
        run: a training run.
        name: keeps it as models/<name>.
        format: torch keeps the weights, rounded to 16 bit.
        evaluation: the evaluate run whose figures go into model.json; it must have measured the 16-bit weights.
        licence: of the starting weights.
        origin: of the starting weights.
        models_root: folder of kept models.
    """

    run: str = not_identity()
    name: str
    format: Literal["torch"] = "torch"
    evaluation: str | None = None
    licence: str | None = None
    origin: str | None = None
    models_root: str = not_identity("models")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"name must be of letters, digits, _ and -, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class DescribeConfig(RunPlace):
    """`describe`: the data, and what each exit of a model costs.

    Attributes:
        data: the set.
        model: the network.
    """

    data: DataConfig
    model: ModelConfig
