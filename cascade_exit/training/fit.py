"""One training run from its parts: trainer, callbacks, continuation from the last checkpoint."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cascade_exit.data import CocoSet, ImageStore
from cascade_exit.model.checkpoint import read_state_file
from cascade_exit.runs import Run, UserError
from cascade_exit.training.callbacks import (
    ExactRandomness,
    ExitEvaluator,
    ExitPictures,
    LastCheckpoint,
    LastPeriodStopping,
    ScheduleFreezing,
    best_checkpoint,
)
from cascade_exit.training.callbacks.checkpoints import BEST, LAST, PREVIOUS, CheckpointFiles
from cascade_exit.training.config import TrainerConfig, TrainingConfig
from cascade_exit.training.datamodule import CascadeData
from cascade_exit.training.module import CascadeModule
from cascade_exit.training.starting import Start

# Lightning's warnings that do not concern a user here.
NO_CONCERN = (
    "your dataloader is not resumable",  # our batch sampler continues at the right batch by itself
    "does not have many workers",
    "in eval mode at the start of training",  # frozen on purpose
    "is smaller than the logging interval",
    "exists and is not empty",  # so is the folder of any run that goes on
    "LeafSpec",
)


@dataclass(frozen=True)
class TrainingSets:
    """The data of a training run.

    Attributes:
        train: images to learn from.
        val: images that choose the checkpoint.
        store: where decoded images come from.
        workers: loading processes.
    """

    train: CocoSet
    val: CocoSet
    store: ImageStore
    workers: int


def fit(config: TrainingConfig, sets: TrainingSets, weights: Start, run: Run, logger: Logger) -> Path:
    """Trains, or goes on where a killed run stopped.

    Args:
        config: what to train and how.
        sets: the data.
        weights: where to start.
        run: the open run; checkpoints, figures and the record go there.
        logger: gets every measure.

    Returns:
        The best checkpoint on val.

    Raises:
        UserError: the run has checkpoints, but none that can be read.
    """
    # Also where nothing is drawn at random by hand: layers initialise from the global state.
    pl.seed_everything(config.seed, workers=True, verbose=False)
    classes = sets.train.class_map.names
    module = CascadeModule(config, classes, sets.train.boxes_per_class)
    checkpoints = run.folder / "checkpoints"
    resume, start = _checkpoint_to_go_on_from(checkpoints, run)
    if not resume and (report := weights.load_into(module.detector, classes)) is not None:
        run.manifest.metrics["init"] = report.summary()
        run.save()
    if config.trainer.compile:
        module.detector.compile()
    data = CascadeData(
        sets.train,
        sets.val,
        sets.store,
        config.model.input,
        config.augment,
        config.sampling,
        config.trainer.batch_size,
        config.seed,
        sets.workers,
        start,
    )
    trainer = build_trainer(config, callbacks_of(config, sets, run), logger, run.folder)
    with warnings.catch_warnings():
        for message in NO_CONCERN:
            warnings.filterwarnings("ignore", message=f".*{message}.*")
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if not config.trainer.max_epochs:
        trainer.save_checkpoint(checkpoints / BEST, weights_only=True)
    return checkpoints / BEST


def _checkpoint_to_go_on_from(checkpoints: Path, run: Run) -> tuple[Path | None, tuple[int, int]]:
    """The last checkpoint that can be read, and where training goes on from it; none before the first."""
    there = [path for path in (checkpoints / LAST, checkpoints / PREVIOUS) if path.exists()]
    for path in there:
        try:
            position = resume_position(read_state_file(path))
        except UserError as error:
            run.warn(f"{error}; training goes on from the checkpoint before it")
            continue
        return path, position
    if there:
        raise UserError(f"{checkpoints}: no checkpoint can be read: mend {LAST}, or train anew with force=true")
    return None, (0, 0)


def resume_position(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Epoch and batch at which training goes on from a checkpoint."""
    loop = checkpoint["loops"]["fit_loop"]
    epoch = loop["epoch_progress"]["current"]["processed"]
    progress = loop["epoch_loop.batch_progress"]
    return epoch, 0 if progress["is_last_batch"] else progress["current"]["ready"]


def callbacks_of(config: TrainingConfig, sets: TrainingSets, run: Run) -> list[pl.Callback]:
    """All callbacks of a training run."""
    settings, exit_names = config.callbacks, config.model.exit_names
    checkpoints = run.folder / "checkpoints"
    callbacks: list[pl.Callback] = [
        ExactRandomness(config.seed),
        ScheduleFreezing(config.optimizer.frozen_features),
        ExitEvaluator(sets.val, exit_names, run),
        ExitPictures(sets.val, sets.store, exit_names, run.folder / "figures", settings.pictures),
        LearningRateMonitor(logging_interval="step"),
        best_checkpoint(checkpoints),
        LastCheckpoint(checkpoints, config.trainer.checkpoint_minutes),
    ]
    if settings.ema_decay is not None:
        callbacks.append(weight_averaging(settings.ema_decay))
    if settings.early_stopping_epochs is not None:
        callbacks.append(LastPeriodStopping(settings.early_stopping_epochs))
    if config.trainer.progress:
        callbacks.append(RichProgressBar())
    return callbacks


def weight_averaging(decay: float) -> WeightAveraging:
    """An exponential moving average of weights and buffers that is validated and kept.

    Not Lightning's EMAWeightAveraging, which multiplies and adds, tensor by tensor: that moves frozen weights, too, by
    rounding errors. Linear interpolation leaves equal values alone, and takes one step for all.
    """
    return WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(decay))


def check_trainer(config: TrainingConfig) -> None:
    """Refuses devices and strategies that this machine does not have, before the long work starts.

    Raises:
        UserError: Lightning cannot train with `config.trainer` here.
    """
    settings = config.trainer
    try:
        build_trainer(config, [], False, Path())
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        asked = ", ".join(f"{key}={getattr(settings, key)}" for key in ("accelerator", "devices", "strategy"))
        raise UserError(f"trainer ({asked}): {str(error).splitlines()[0]}") from error


def build_trainer(
    config: TrainingConfig, callbacks: list[pl.Callback], logger: Logger | bool, folder: Path
) -> pl.Trainer:
    """Lightning's trainer with our settings."""
    settings = config.trainer
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=config.optimizer.gradient_clip,
        precision=settings.precision,
        limit_train_batches=settings.limit_train_batches or 1.0,
        limit_val_batches=settings.limit_val_batches or 1.0,
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(settings),
        sync_batchnorm=settings.sync_batchnorm,
        use_distributed_sampler=False,  # our batch samplers know rank and world
        callbacks=callbacks,
        plugins=[CheckpointFiles()],
        logger=logger,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
    )


def _strategy(settings: TrainerConfig) -> str | Strategy:
    # The schedule leaves parts of the network without a gradient for whole periods.
    return DDPStrategy(find_unused_parameters=True) if settings.strategy == "ddp" else settings.strategy
