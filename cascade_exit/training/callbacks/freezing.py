"""Freezes what the schedule says does not learn, batch norm statistics included."""

import lightning.pytorch as pl

from cascade_exit.training.module import CascadeModule
from cascade_exit.training.schedule import Period


class ScheduleFreezing(pl.Callback):
    """Applies the schedule's period to the model when training starts and at every epoch.

    Args:
        frozen_features: first features of every trunk that never learn.
    """

    def __init__(self, frozen_features: int) -> None:
        self.frozen_features = frozen_features
        self._applied: Period | None = None

    # A run that continues in mid-epoch starts without on_train_epoch_start.
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Applies the period of the first epoch."""
        self._applied = None
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Applies the period if it is a new one."""
        assert isinstance(pl_module, CascadeModule)
        period = pl_module.schedule.period_at(trainer.current_epoch)
        if period == self._applied:
            return
        detector = pl_module.detector
        detector.train()
        detector.requires_grad_(True)
        frozen = [block for trunk in detector.trunks for block in trunk.features[: self.frozen_features]]
        if period.name == "exits":
            frozen += [detector.trunk, detector.full]
        for module in frozen:
            module.requires_grad_(False).eval()
        self._applied = period
