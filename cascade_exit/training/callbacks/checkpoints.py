"""The checkpoints of a run: the best on val, the last, from which a killed run goes on, and the one before it."""

import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from cascade_exit.runs.atomic import TEMPORARY_PREFIX, atomic_write_bytes
from cascade_exit.training.callbacks.evaluator import MONITOR

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


def best_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keeps the checkpoint with the highest mean AP on val as `best.ckpt`."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(BEST).stem,
        monitor=MONITOR,
        mode="max",
        save_top_k=1,
        auto_insert_metric_name=False,
        enable_version_counter=False,
    )


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint wholly or not at all, beside its place.

    Lightning's own way goes through the machine's temporary folder: where that is another disk, a kill or a full disk
    in the middle of the copy leaves neither the old checkpoint nor the new one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Replaces the file at once.

        Raises:
            OSError: such as a full disk; what was there before is still there.
        """
        buffer = io.BytesIO()  # torch, writing to a full disk by itself, says no reason
        torch.save(checkpoint, buffer)
        atomic_write_bytes(path, buffer.getbuffer())


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` after every epoch, and in mid-epoch when some minutes have gone by.

    The file is replaced at once, so that a kill leaves the old or the new one. The one before stays as `previous.ckpt`,
    for the case that the disk did not keep what was written.

    Args:
        folder: where the file goes.
        minutes: a checkpoint at least so often.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path, self.seconds = folder / LAST, minutes * 60
        self._saved_at = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time, between optimizer steps; the last batch is left to the end of the epoch."""
        between_steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        due = time.monotonic() - self._saved_at >= self.seconds
        # One process's clock decides for all, since saving waits for all of them.
        due = trainer.strategy.broadcast(due) if between_steps and trainer.world_size > 1 else due
        if due and between_steps and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves after validation."""
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        new = self.path.with_name(f"{TEMPORARY_PREFIX}{self.path.name}")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            if self.path.exists():
                self.path.replace(self.path.with_name(PREVIOUS))
            new.replace(self.path)
        trainer.strategy.barrier("LastCheckpoint")
        self._saved_at = time.monotonic()
