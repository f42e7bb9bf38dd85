"""What happens around training: evaluation, pictures, the schedule, exact continuation, checkpoints."""

from cascade_exit.training.callbacks.checkpoints import LastCheckpoint, best_checkpoint
from cascade_exit.training.callbacks.evaluator import MONITOR, ExitEvaluator
from cascade_exit.training.callbacks.exactness import ExactRandomness
from cascade_exit.training.callbacks.freezing import ScheduleFreezing
from cascade_exit.training.callbacks.pictures import ExitPictures
from cascade_exit.training.callbacks.stopping import LastPeriodStopping

__all__ = [
    "MONITOR",
    "ExactRandomness",
    "ExitEvaluator",
    "ExitPictures",
    "LastCheckpoint",
    "LastPeriodStopping",
    "ScheduleFreezing",
    "best_checkpoint",
]
