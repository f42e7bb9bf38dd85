"""Settings of training: optimizer, schedule, trainer, callbacks."""

from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.data import AugmentConfig, SamplingConfig
from cascade_exit.losses import LossConfig
from cascade_exit.model import DecodingConfig, ModelConfig
from cascade_exit.runs import not_identity


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Loshchilov & Hutter, ICLR 2019) with a gentler rate for pretrained layers.

    Attributes:
        lr: learning rate of branches and heads at its highest.
        trunk_lr_scale: factor on it for the trunk (each trunk, of a model with looks).
        weight_decay: on convolution weights; norms and biases have none.
        frozen_features: so many of each trunk's first features stay as they start, their batch norm included.
        gradient_clip: largest norm of the whole gradient; none: not clipped.
    """

    lr: float = 1e-3
    trunk_lr_scale: float = 1.0
    weight_decay: float = 1e-4
    frozen_features: int = 0
    gradient_clip: float | None = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.lr <= 1:
            raise ValueError(f"lr must be in (0, 1], got {self.lr}")
        if not 0 <= self.trunk_lr_scale <= 1:
            raise ValueError(f"trunk_lr_scale must be between 0 and 1, got {self.trunk_lr_scale}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")
        if self.frozen_features < 0:
            raise ValueError(f"frozen_features must not be negative, got {self.frozen_features}")
        if self.gradient_clip is not None and self.gradient_clip <= 0:
            raise ValueError(f"gradient_clip must be above 0 or null, got {self.gradient_clip}")


@dataclass(frozen=True)
class PeriodConfig:
    """A part of the schedule.

    Attributes:
        share: of all epochs; 0 leaves it out.
        lr_scale: factor on the learning rate.
    """

    share: float = 0.0
    lr_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be between 0 and 1, got {self.share}")
        if self.lr_scale <= 0:
            raise ValueError(f"lr_scale must be above 0, got {self.lr_scale}")


@dataclass(frozen=True)
class ScheduleConfig:
    """Static, then exits, then joint; each with a warm-up and a cosine decay of its own.

    Attributes:
        static: only the trunk and the full exit learn.
        exits: only the early exits learn; trunk and full exit are frozen.
        joint: everything learns.
        warmup_epochs: of rising learning rate at the start of each period.
        final_lr_share: where the decay of each period ends.
    """

    static: PeriodConfig = field(default_factory=PeriodConfig)
    exits: PeriodConfig = field(default_factory=PeriodConfig)
    joint: PeriodConfig = field(default_factory=lambda: PeriodConfig(share=1.0))
    warmup_epochs: float = 0.5
    final_lr_share: float = 0.01

    def __post_init__(self) -> None:
        total = self.static.share + self.exits.share + self.joint.share
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of static, exits and joint must add up to 1, got {total:g}")
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must not be negative, got {self.warmup_epochs}")
        if not 0 < self.final_lr_share <= 1:
            raise ValueError(f"final_lr_share must be in (0, 1], got {self.final_lr_share}")


@dataclass(frozen=True)
class TrainerConfig:
    """How long and on what to train.

    Attributes:
        max_epochs: epochs in all; 0 keeps the starting weights as they are.
        batch_size: images per optimizer step and accumulation step, over all processes together.
        accumulate: batches per optimizer step.
        precision: Lightning's name, such as 32-true, bf16-mixed, 16-mixed.
        limit_train_batches: only so many batches an epoch.
        limit_val_batches: only so many batches in validation.
        accelerator: cpu, gpu, auto, as Lightning takes it.
        devices: how many, or "auto".
        num_nodes: machines.
        strategy: auto, ddp, ….
        sync_batchnorm: batch norm over all processes (GPU only).
        channels_last: memory layout that suits convolutions on CPU and on tensor cores.
        compile: torch.compile the network.
        checkpoint_minutes: a checkpoint at least so often, beside the one of each epoch.
        progress: show the live progress display.
    """

    max_epochs: int = 20
    batch_size: int = 16
    accumulate: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    limit_train_batches: int | None = None
    limit_val_batches: int | None = None
    accelerator: str = not_identity("auto")
    devices: int | Literal["auto"] = not_identity("auto")
    num_nodes: int = not_identity(1)
    strategy: str = not_identity("auto")
    sync_batchnorm: bool = not_identity(False)
    channels_last: bool = not_identity(True)
    compile: bool = not_identity(False)
    checkpoint_minutes: float = not_identity(5.0)
    progress: bool = not_identity(True)

    def __post_init__(self) -> None:
        if self.max_epochs < 0:
            raise ValueError(f"max_epochs must not be negative, got {self.max_epochs}")
        for key in ("batch_size", "accumulate", "num_nodes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        for key in ("limit_train_batches", "limit_val_batches"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1 or null, got {getattr(self, key)}")
        if self.checkpoint_minutes <= 0:
            raise ValueError(f"checkpoint_minutes must be above 0, got {self.checkpoint_minutes}")


@dataclass(frozen=True)
class CallbacksConfig:
    """What happens around training.

    Attributes:
        ema_decay: of the moving average of weights that is validated and kept; none: off.
        early_stopping_epochs: stop after so many epochs of the schedule's last period without a better mean AP on val;
            none: never.
        pictures: images in the picture grid of each epoch; 0: none.
    """

    ema_decay: float | None = 0.998
    early_stopping_epochs: int | None = None
    pictures: int = not_identity(6)

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in (0, 1) or be null, got {self.ema_decay}")
        if self.early_stopping_epochs is not None and self.early_stopping_epochs < 1:
            raise ValueError(f"early_stopping_epochs must be at least 1 or null, got {self.early_stopping_epochs}")
        if self.pictures < 0:
            raise ValueError(f"pictures must not be negative, got {self.pictures}")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that training a detector depends on, but for the data and the starting weights.

    Attributes:
        model: the network.
        decoding: post-processing in validation, kept with the checkpoint.
        loss: the recipe.
        augment: of the training images.
        sampling: how often each of them comes.
        optimizer: rates and decay.
        schedule: when what learns.
        trainer: how long and on what.
        callbacks: around training.
        seed: of weights, order, augmentation.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss.cascade.weight > 0 and self.model.looks:
            raise ValueError(
                "loss.cascade.weight must be 0 for a model with looks: it compares what two exits say about the same "
                "anchor, and looks have their own (loss.distill learns across them)"
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be between 0 and 2**32 - 1, got {self.seed}")
