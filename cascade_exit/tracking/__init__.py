"""Tracking: W&B, CSV and TensorBoard loggers of a run, and what they can show."""

from cascade_exit.tracking.config import LoggerConfig
from cascade_exit.tracking.loggers import finish_logger, make_logger
from cascade_exit.tracking.media import log_histogram, log_image
from cascade_exit.tracking.wandb_run import wandb_mode

__all__ = ["LoggerConfig", "finish_logger", "log_histogram", "log_image", "make_logger", "wandb_mode"]
