"""The LightningModule (wiring only), loaders, schedule, starting weights and callbacks."""

from cascade_exit.training.config import (
    CallbacksConfig,
    OptimizerConfig,
    PeriodConfig,
    ScheduleConfig,
    TrainerConfig,
    TrainingConfig,
)
from cascade_exit.training.fit import TrainingSets, check_trainer, fit
from cascade_exit.training.init import StartingWeights, starting_weights, weights_of_run
from cascade_exit.training.module import CascadeModule
from cascade_exit.training.schedule import Schedule

__all__ = [
    "CallbacksConfig",
    "CascadeModule",
    "OptimizerConfig",
    "PeriodConfig",
    "Schedule",
    "ScheduleConfig",
    "StartingWeights",
    "TrainerConfig",
    "TrainingConfig",
    "TrainingSets",
    "check_trainer",
    "fit",
    "starting_weights",
    "weights_of_run",
]
