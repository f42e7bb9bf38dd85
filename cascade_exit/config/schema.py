"""What each verb can be told."""

import re
from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.data import DataConfig, Measurable, Role
from cascade_exit.losses import LossConfig
from cascade_exit.model import FULL, ModelConfig
from cascade_exit.policies import Objective
from cascade_exit.policies.operating_points import QUANTILES
from cascade_exit.policies.risk import RiskLimit
from cascade_exit.runs import not_identity
from cascade_exit.runtime.exported import Precision
from cascade_exit.runtime.network import Backend
from cascade_exit.tracking import LoggerConfig
from cascade_exit.training import Schedule, TrainingConfig

# The operating point that is shipped where nothing else is asked for.
DEFAULT_RELATIVE_AP_DROP = 0.03


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
        init: scratch, imagenet, coco, a file of weights, or a run; for a model with looks also one of these for each
            of its networks, by the exit that it ends at.
        run: go on from this finished run with its weights, as a new run.
    """

    data: DataConfig = field(default_factory=DataConfig)
    logger: LoggerConfig = not_identity(default_factory=LoggerConfig)
    init: str | dict[str, str] = not_identity("scratch")
    run: str | None = not_identity(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        Schedule(self.schedule, self.trainer.max_epochs, self.model.exit_names)
        missing = [name for name in self.model.exit_names if name not in self.loss.exit_weights]
        if missing:
            raise ValueError(f"loss.exit_weights must give a weight to {', '.join(missing)}")
        scratch = self._from_scratch()
        if self.schedule.static.share == 0 and self.schedule.exits.share > 0 and FULL in scratch:
            raise ValueError(
                "schedule.static.share must be above 0 with init=scratch: exits would learn on a random trunk"
            )
        if self.optimizer.frozen_features and scratch:
            which = "" if isinstance(self.init, str) else f" ({', '.join(scratch)})"
            raise ValueError(
                f"optimizer.frozen_features must be 0 with init=scratch{which}: random features would never learn"
            )
        if self.loss.exit_weights[FULL] <= 0 and self.schedule.static.share > 0:
            raise ValueError(f"loss.exit_weights.{FULL} must be above 0 where schedule.static has a share")

    def _from_scratch(self) -> list[str]:
        """The exits at which networks end that start from nothing."""
        networks = [*self.model.looks, FULL]
        if isinstance(self.init, str):
            return networks if self.init == "scratch" and not self.run else []
        if unknown := [name for name in self.init if name not in networks]:
            raise ValueError(f"init must name networks of the model ({', '.join(networks)}), got {', '.join(unknown)}")
        return [] if self.run else [name for name in networks if self.init.get(name, "scratch") == "scratch"]


@dataclass(frozen=True, kw_only=True)
class TraceConfig(RunPlace):
    """`trace`: what every exit says of every image of a split.

    Attributes:
        run: the trained model: a run, or models/<name>.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        logger: where measures go besides the run's own record; none: as the model was trained.
        split: the role to trace; unseen: calibrate and test together.
        score_threshold: detections from this score on count for recall, F1 and false positives of each image.
        device: cpu, cuda, ….
        batch_size: images per batch.
    """

    run: str = not_identity()
    data: DataConfig | None = None
    logger: LoggerConfig | None = not_identity(None)
    split: Measurable = "calibrate"
    score_threshold: float = 0.3
    device: str = not_identity("cpu")
    batch_size: int = not_identity(16)

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must lie in [0, 1), got {self.score_threshold}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


@dataclass(frozen=True)
class RiskConfig:
    """A guarantee to tune for, instead of an objective.

    Attributes:
        loss: how far an image's recall or F1 falls below the full exit's; none: no guarantee.
        epsilon: bound on its mean.
        delta: chance that the bound fails; none: it holds in expectation.
    """

    loss: Literal["recall", "f1"] | None = None
    epsilon: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        if (self.loss is None) != (self.epsilon is None):
            raise ValueError("loss and epsilon must be given together")
        if self.loss is None and self.delta is not None:
            raise ValueError("loss and epsilon must be given with delta")
        for key in ("epsilon", "delta"):
            value = getattr(self, key)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{key} must lie in (0, 1), got {value}")

    def limit(self) -> RiskLimit | None:
        """The limit, where one is asked for."""
        if self.loss is None or self.epsilon is None:
            return None
        return RiskLimit(self.loss, self.epsilon, self.delta)


@dataclass(frozen=True, kw_only=True)
class TuneConfig(RunPlace):
    """`tune`: a policy for a trained model, from its trace of the calibrate role.

    Attributes:
        run: the trained model: a run, or models/<name>.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        logger: where measures go besides the run's own record; none: as the model was trained.
        score_threshold: see `trace`.
        family: of policies; auto: the one of all that serves best.
        objective: the highest AP, or the highest speedup, within the limits below; none: the highest AP where
            min_speedup or budget_ms is given, else the highest speedup at a relative AP drop of 0.03.
        baseline: a static model, run or models/<name>, that speedup and drop are against; none: the full exit.
        min_speedup: over the baseline.
        max_relative_ap_drop: against the baseline; 0.03 is 3 %.
        budget_ms: highest mean cost of an image in milliseconds on this machine.
        cost: what speedups are counted in: MACs, or milliseconds measured on this machine (as they are with budget_ms).
        risk: a guarantee instead of the objective.
        quantiles: thresholds tried per exit, besides none and all; the plan's family has its own.
        temperature: fit a temperature per exit.
        harmonise: map the scores of each exit so that they mean the same.
        static: static models to show beside the policies: runs, or models/<name>.
        backend: what computes, where milliseconds are measured; None: what the model is exported for, else torch.
        threads: CPU threads for it; none: its choice.
        device: cpu, cuda, ….
        batch_size: images per batch while tracing.
        pictures: images in each picture grid.
    """

    run: str = not_identity()
    data: DataConfig | None = None
    logger: LoggerConfig | None = not_identity(None)
    score_threshold: float = 0.3
    family: str = "auto"
    objective: Literal["max_ap", "max_speedup"] | None = None
    baseline: str | None = not_identity(None)
    min_speedup: float | None = None
    max_relative_ap_drop: float | None = None
    budget_ms: float | None = None
    cost: Literal["macs", "latency"] = "macs"
    risk: RiskConfig = field(default_factory=RiskConfig)
    quantiles: int = QUANTILES
    temperature: bool = True
    harmonise: bool = True
    static: tuple[str, ...] = not_identity(())
    backend: Backend | None = None
    threads: int | None = None
    device: str = not_identity("cpu")
    batch_size: int = not_identity(16)
    pictures: int = not_identity(8)

    def __post_init__(self) -> None:
        self.limits()
        asked = (self.objective, self.min_speedup, self.max_relative_ap_drop, self.budget_ms)
        if self.risk.loss is not None and any(each is not None for each in asked):
            raise ValueError("risk must stand alone: it replaces objective, min_speedup, drop and budget")
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must lie in [0, 1), got {self.score_threshold}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1 or null, got {self.threads}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.pictures < 0:
            raise ValueError(f"pictures must not be negative, got {self.pictures}")
        if self.quantiles < 1:
            raise ValueError(f"quantiles must be at least 1, got {self.quantiles}")

    @property
    def in_milliseconds(self) -> bool:
        """Whether costs are measured rather than counted."""
        return self.cost == "latency" or self.budget_ms is not None

    def limits(self) -> Objective:
        """The objective with its limits, what is left open filled in."""
        bounded = self.min_speedup is not None or self.budget_ms is not None
        goal = self.objective or ("max_ap" if bounded else "max_speedup")
        drop = self.max_relative_ap_drop
        if drop is None and goal == "max_speedup":
            drop = DEFAULT_RELATIVE_AP_DROP
        if goal == "max_ap" and not bounded:
            raise ValueError("min_speedup or budget_ms must be given with objective max_ap: full has the highest AP")
        return Objective(goal, self.min_speedup, drop, self.budget_ms)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(RunPlace):
    """`evaluate`.

    Attributes:
        run: the trained model: a run, or models/<name>.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        logger: where measures go besides the run's own record; none: as the model was trained.
        role: which part of it; no other is opened. unseen: calibrate and test together, all that no weights were
            trained or chosen on; without a policy, for calibrate is what policies are tuned on.
        policy: none: every exit answers for every image; shipped: the one beside a kept model, or of a training run's
            newest finished tune run; else the file of a policy, or a tune run.
        transfer: apply a policy that was tuned for another model, unchanged.
        baseline: a static model, run or models/<name>, that is measured on the same images; none: the full exit.
        backend: what the policy's runner and the baseline compute with; both are exported for it where they are not.
            None: what the model is exported for, else torch.
        threads: CPU threads; none: the backend's choice.
        device: cpu, cuda, ….
        batch_size: images per batch.
        bootstrap: resamples of the images, or groups, for the intervals; 0: no intervals.
        latency_images: photos that the policy's runner and the baseline answer in turns, timed and held against the
            trace; 0: none.
        crossfit: also judge all families of policies, tuned by cross-fitting on this very set.
        corruptions: also measure under blur, noise and JPEG, three severities each.
        pictures: images in the picture grid.
    """

    run: str = not_identity()
    data: DataConfig | None = None
    logger: LoggerConfig | None = not_identity(None)
    role: Measurable = "test"
    policy: str = not_identity("none")
    transfer: bool = not_identity(False)
    baseline: str | None = not_identity(None)
    backend: Backend | None = None
    threads: int | None = None
    device: str = not_identity("cpu")
    batch_size: int = not_identity(16)
    bootstrap: int = 1000
    latency_images: int = 200
    crossfit: bool = False
    corruptions: bool = False
    pictures: int = not_identity(8)

    def __post_init__(self) -> None:
        if self.role == "unseen" and self.policy != "none":
            raise ValueError(
                "role=unseen holds the images that policies are tuned on: give role=test for a policy, or policy=none"
                " and crossfit=true"
            )
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1 or null, got {self.threads}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        for key in ("bootstrap", "latency_images", "pictures"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key} must not be negative, got {getattr(self, key)}")
        if self.transfer and self.policy == "none":
            raise ValueError("policy must be given with transfer")


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(RunPlace):
    """`benchmark`: on this machine's CPU.

    Attributes:
        run: the trained model: a run, or a kept or exported model.
        policy: see `evaluate`; it must have one.
        baseline: the static model that speedups are over; none: the model's own full exit alone.
        statics: other static models.
        data: the set; none: the one that the run was trained on. Its classes are the model's.
        logger: where measures go besides the run's own record; none: as the model was trained.
        role: which part of it; no other is opened.
        backend: what computes; models are exported for it where they are not. None: what the model is exported for,
            else torch.
        backends: several, side by side, instead; the first is the main one.
        threads: CPU threads; none: all.
        batch_size: photos at once.
        all_threads: measure with all threads, too.
        batch_sizes: measure such batches, too; photos that exit leave their batch.
        images: photos that everyone answers, evenly spread over the set.
        repeats: how often.
        bootstrap: resamples for the intervals; 0: no intervals.
    """

    run: str = not_identity()
    policy: str = not_identity("shipped")
    baseline: str | None = not_identity(None)
    statics: tuple[str, ...] = not_identity(())
    data: DataConfig | None = None
    logger: LoggerConfig | None = not_identity(None)
    role: Role = "test"
    backend: Backend | None = None
    backends: tuple[Backend, ...] = ()
    threads: int | None = 1
    batch_size: int = 1
    all_threads: bool = True
    batch_sizes: tuple[int, ...] = (8, 32)
    images: int = 200
    repeats: int = 3
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        if self.backend is not None and self.backends:
            raise ValueError("backend must not be given with backends")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1 or null, got {self.threads}")
        if self.policy == "none":
            raise ValueError("policy must not be none: what is timed is how a policy stops")
        for key in ("batch_size", "images", "repeats"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        if any(size < 1 for size in self.batch_sizes):
            raise ValueError(f"batch_sizes must be at least 1, got {list(self.batch_sizes)}")
        if self.bootstrap < 0:
            raise ValueError(f"bootstrap must not be negative, got {self.bootstrap}")

    @property
    def timed_backends(self) -> tuple[Backend | None, ...]:
        """Of all backends the main one first; None for the model's own."""
        return self.backends or (self.backend,)


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
        run: a training run; for graphs also models/<name>.
        name: keeps it as models/<name>; graphs without a name stay in the run.
        format: torch keeps the weights, rounded to 16 bit; onnx and openvino write graphs.
        precision: of graphs; int8 takes the ranges of activations from the calibrate role.
        data: that role's set; none: the one that the run was trained on.
        base: a kept model in the same folder, models/<name>: only weights that differ from its own are kept, and it has
            to stay where it is.
        evaluation: the evaluate run whose figures go into model.json; it must have measured the 16-bit weights.
        policy: the policy that is shipped as policy.json: a file or a tune run; it must be of the 16-bit weights.
            None given: graphs take along the one that their model ships; none: no policy.
        licence: of the starting weights; none: what the kept models that they lead back to say.
        origin: of the starting weights; none: likewise.
        models_root: folder of kept models.
    """

    run: str = not_identity()
    name: str | None = None
    format: Literal["torch", "onnx", "openvino"] = "torch"
    precision: Precision = "fp32"
    data: DataConfig | None = None
    base: str | None = not_identity(None)
    evaluation: str | None = None
    policy: str | None = None
    licence: str | None = None
    origin: str | None = None
    models_root: str = not_identity("models")

    def __post_init__(self) -> None:
        if self.name is None and self.format == "torch":
            raise ValueError("name must be given with format torch: the weights are kept as models/<name>")
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"name must be of letters, digits, _ and -, got {self.name!r}")
        if self.format == "torch" and self.precision != "fp32":
            raise ValueError(f"precision must not be given with format torch, got {self.precision}: weights are 16 bit")
        if self.format != "torch" and (self.base or self.evaluation or self.licence or self.origin):
            raise ValueError(
                "base, evaluation, licence and origin must not be given with graphs: they belong to kept weights"
            )


@dataclass(frozen=True, kw_only=True)
class DescribeConfig(RunPlace):
    """`describe`: the data, how anchors fit it, and what each exit of a model costs.

    Attributes:
        data: the set.
        model: the network.
        loss: its matcher's IoU says which anchors answer for a box.
    """

    data: DataConfig
    model: ModelConfig
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True, kw_only=True)
class DashboardConfig(RunPlace):
    """`dashboard`: a saved W&B workspace with the panels that matter.

    Attributes:
        name: of the workspace.
        run: a training run or kept model whose exits, classes, project and group are shown; none: exit1, exit2 and
            full, of all groups.
        project: W&B project; none: that of the run, or cascade_exit.
        entity: W&B user or team; none: the account's own.
        dry_run: only write what would be saved.
    """

    name: str = "cascade_exit"
    run: str | None = not_identity(None)
    project: str | None = None
    entity: str | None = None
    dry_run: bool = not_identity(False)


@dataclass(frozen=True, kw_only=True)
class ReportConfig(RunPlace):
    """`report`: runs side by side.

    Attributes:
        runs: of any verb, and models/<name>; unfinished ones are shown as they stand.
        pictures: of each run, at most.
        logger: keeps the page as an artifact; none: as the first of the runs was logged.
    """

    runs: tuple[str, ...] = not_identity(())
    pictures: int = 4
    logger: LoggerConfig | None = not_identity(None)

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("runs must name at least one run, such as 'runs=[RUN,models/NAME]'")
        if self.pictures < 0:
            raise ValueError(f"pictures must not be negative, got {self.pictures}")
