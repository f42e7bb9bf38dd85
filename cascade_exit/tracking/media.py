"""Pictures and distributions, for the loggers that can show them."""

from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from PIL import Image

from cascade_exit.tracking.wandb_run import STEP_KEY


@rank_zero_only
def log_image(logger: Logger, key: str, path_png: Path, step: int) -> None:
    """Log the picture in a file; loggers that cannot show pictures pass over it.

    Args:
        logger: A logger from ``make_logger``.
        key: Path of the picture, such as ``val/grid``.
        path_png: The file.
        step: The trainer's global step.
    """
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [str(path_png)], step)
    elif isinstance(logger, TensorBoardLogger):
        with Image.open(path_png) as image:
            pixels = np.asarray(image.convert("RGB"))
        logger.experiment.add_image(key, pixels, step, dataformats="HWC")


@rank_zero_only
def log_histogram(logger: Logger, key: str, values: np.ndarray, step: int) -> None:
    """Log the distribution of the finite ones among ``values``; without any, or in CSV, nothing.

    Args:
        logger: A logger from ``make_logger``.
        key: Path of the distribution, such as ``val/exit1/confidence``.
        values: Numbers, of any shape.
        step: The trainer's global step.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return
    if isinstance(logger, WandbLogger):
        import wandb

        logger.experiment.log({key: wandb.Histogram(finite), STEP_KEY: step})
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_histogram(key, finite, step)
