"""The logger of a run, by config."""

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from cascade_exit.runs import Run, UserError
from cascade_exit.tracking.config import LoggerConfig
from cascade_exit.tracking.wandb_run import make_wandb_logger


def make_logger(config: LoggerConfig, run: Run) -> Logger:
    """Make the logger of a run; all its files lie in the run's folder.

    W&B writes to ``wandb/``, TensorBoard to ``tensorboard/``, CSV to ``csv/version_<n>/`` with one ``n`` per
    try. End it with ``finish_logger``.

    Args:
        config: Which logger, and for W&B where to.
        run: The open run; a continued run continues its W&B run.

    Returns:
        A logger for Lightning's Trainer.

    Raises:
        UserError: When the logger's package is not installed, or W&B cannot begin a run.
    """
    if config.name == "wandb":
        return make_wandb_logger(config, run)
    logger = _make_csv(run.folder) if config.name == "csv" else _make_tensorboard(run.folder)
    logger.log_hyperparams(run.manifest.config)
    return logger


def finish_logger(logger: Logger, exit_code: int) -> None:
    """Write what is pending and end the logger.

    Args:
        logger: A logger from ``make_logger``.
        exit_code: 0 when the run succeeded; anything else marks it as failed in W&B.
    """
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=exit_code)
    else:
        logger.finalize("success" if exit_code == 0 else "failed")


def _make_csv(run_dir: Path) -> CSVLogger:
    # Lightning deletes the CSV file that it finds under a version given by name: let it count instead.
    return CSVLogger(run_dir, name="csv", flush_logs_every_n_steps=1)


def _make_tensorboard(run_dir: Path) -> TensorBoardLogger:
    try:
        return TensorBoardLogger(run_dir, name="tensorboard", version="", default_hp_metric=False)
    except ModuleNotFoundError as error:
        raise UserError("tensorboard is not installed: pip install tensorboard, or give logger=csv") from error
