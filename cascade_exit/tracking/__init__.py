"""Tracking: W&B, CSV and TensorBoard loggers of a run, and what they can show."""

from cascade_exit.tracking.artifacts import keep_outputs, use_inputs
from cascade_exit.tracking.best import best_of, log_best
from cascade_exit.tracking.config import LoggerConfig
from cascade_exit.tracking.figures import log_figures
from cascade_exit.tracking.loggers import finish_logger, make_logger
from cascade_exit.tracking.media import log_histogram, log_image
from cascade_exit.tracking.phase import tracked
from cascade_exit.tracking.tables import BoxedImage, log_curves, log_table
from cascade_exit.tracking.wandb_run import wandb_mode
from cascade_exit.tracking.workspace import WorkspaceSpec, make_workspace, workspace_json

__all__ = [
    "BoxedImage",
    "LoggerConfig",
    "WorkspaceSpec",
    "best_of",
    "finish_logger",
    "keep_outputs",
    "log_best",
    "log_curves",
    "log_figures",
    "log_histogram",
    "log_image",
    "log_table",
    "make_logger",
    "make_workspace",
    "tracked",
    "use_inputs",
    "wandb_mode",
    "workspace_json",
]
