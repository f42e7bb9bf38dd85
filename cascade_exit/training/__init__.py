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
from cascade_exit.training.starting import Start, check_untrained, find_start

__all__ = [
    "CallbacksConfig",
    "CascadeModule",
    "OptimizerConfig",
    "PeriodConfig",
    "Schedule",
    "ScheduleConfig",
    "Start",
    "StartingWeights",
    "TrainerConfig",
    "TrainingConfig",
    "TrainingSets",
    "check_trainer",
    "check_untrained",
    "find_start",
    "fit",
    "starting_weights",
    "weights_of_run",
]
