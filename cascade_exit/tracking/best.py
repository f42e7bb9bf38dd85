"""Best values of a training run in W&B's summary."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.tracking.wandb_run import STEP_KEY

Best = Literal["max", "min"]


@rank_zero_only
def best_of(logger: Logger | None, measures: Mapping[str, Best]) -> None:
    """Let the summary show the best value of each measure instead of the last; loggers without one pass over it.

    Args:
        logger: A logger from ``make_logger``.
        measures: Whether the highest or the lowest is best, by path such as ``val/exit1/AP``.
    """
    if isinstance(logger, WandbLogger):
        for key, best in measures.items():
            logger.experiment.define_metric(key, step_metric=STEP_KEY, summary=best)


@rank_zero_only
def log_best(logger: Logger | None, measures: Mapping[str, Best], rows: Iterable[Mapping[str, Any]]) -> None:
    """Put the best values of all tries into the summary: W&B itself knows only those of this try.

    Args:
        logger: A logger from ``make_logger``.
        measures: As given to ``best_of``.
        rows: The run's own record.
    """
    if not isinstance(logger, WandbLogger):
        return
    rows = list(rows)
    for key, best in measures.items():
        values = [row[key] for row in rows if key in row]
        if values:
            logger.experiment.summary[key] = {best: max(values) if best == "max" else min(values)}
