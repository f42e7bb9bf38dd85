"""Makes every batch's random numbers a function of where it stands, so that a continued run equals an unbroken one."""

from typing import Any

import lightning.pytorch as pl
import torch

from cascade_exit.data import derive_seed


class ExactRandomness(pl.Callback):
    """Seeds torch at the start of every training batch.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds by (seed, epoch, batch, rank)."""
        torch.manual_seed(derive_seed("batch", self.seed, trainer.current_epoch, batch_idx, trainer.global_rank))
