"""Figures of a phase, under the paths that they have in metrics.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.runs import plain


@rank_zero_only
def log_figures(logger: Logger, figures: Mapping[str, Any], step: int | None = None) -> None:
    """Log every number of a nested mapping: ``{"policy": {"AP": 0.1}}`` as ``policy/AP``.

    A pair of numbers is an interval, whose ends are ``…/low`` and ``…/high``. Anything else is left out.

    Args:
        logger: A logger from ``make_logger``.
        figures: As in metrics.json.
        step: The trainer's global step, where there is one.
    """
    logger.log_metrics(dict(_numbers(plain(figures))), step)


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{path}/{key}" if path else key)
    elif isinstance(value, list) and len(value) == 2:
        for end, item in zip(("low", "high"), value, strict=True):
            yield from _numbers(item, f"{path}/{end}")
