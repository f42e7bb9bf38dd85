"""Early stopping that does not mistake the end of one period for the end of training."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from cascade_exit.training.callbacks.evaluator import MONITOR
from cascade_exit.training.module import CascadeModule


class LastPeriodStopping(EarlyStopping):
    """Stops after so many epochs without a better mean AP, counted in the schedule's last period.

    A static detector that no longer improves is no reason to leave the exits untrained.

    Args:
        epochs: without improvement.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(MONITOR, mode="max", patience=epochs, check_on_train_epoch_end=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts, in the last period only."""
        assert isinstance(pl_module, CascadeModule)
        schedule = pl_module.schedule
        if schedule.period_at(trainer.current_epoch) == schedule.periods[-1]:
            super().on_validation_end(trainer, pl_module)
