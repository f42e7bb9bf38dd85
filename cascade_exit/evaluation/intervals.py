"""Bootstrap intervals of average precision: how much of a figure, or of a difference, the choice of images makes."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from cascade_exit.evaluation.average_precision import Measure, average_precision
from cascade_exit.evaluation.matching import Matches

Interval = tuple[float, float]


def bootstrap_interval(
    matches: Matches, measure: Measure = "AP", resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval | None:
    """Percentile interval of a measure under resampling of the images (Efron, Annals of Statistics 1979).

    Args:
        matches: one exit's, or a mixture's.
        measure: see `average_precision`.
        resamples: number of sets of images drawn with replacement, each as large as the whole.
        seed: the same seed draws the same sets.
        level: of the images' distribution that the interval covers.

    Returns:
        (low, high), or None where no resample holds anything to be found.

    Raises:
        ValueError: `resamples` or `level` out of range.
    """
    return _interval([matches], lambda values: values[0], measure, resamples, seed, level)


def difference_interval(
    matches: Matches,
    other: Matches,
    measure: Measure = "AP",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Interval of (measure of `matches`) - (measure of `other`), both taken on the same resampled images.

    Raises:
        ValueError: not of the same images; otherwise as `bootstrap_interval`, as are arguments and result.
    """
    return _interval([matches, other], lambda values: values[0] - values[1], measure, resamples, seed, level)


def relative_drop_interval(
    matches: Matches,
    baseline: Matches,
    measure: Measure = "AP",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Interval of (baseline - measure) / baseline, both taken on the same resampled images.

    Raises:
        ValueError: not of the same images; otherwise as `bootstrap_interval`, as are arguments and result.
            Resamples on which the baseline finds nothing have no relative drop and are left out.
    """
    return _interval([matches, baseline], _relative_drop, measure, resamples, seed, level)


def _interval(
    sides: list[Matches],
    statistic: Callable[[np.ndarray], np.ndarray],
    measure: Measure,
    resamples: int,
    seed: int,
    level: float,
) -> Interval | None:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    image_ids = sides[0].image_ids
    if any(not np.array_equal(image_ids, side.image_ids) for side in sides[1:]):
        raise ValueError("a paired interval needs both sides matched on the same images")
    values = statistic(_resampled(sides, measure, resamples, seed))
    present = values[np.isfinite(values)]
    if present.size == 0:
        return None
    low, high = np.quantile(present, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(sides: list[Matches], measure: Measure, resamples: int, seed: int) -> Float[np.ndarray, "side resample"]:
    images = sides[0].image_ids.size
    generator = np.random.default_rng(seed)
    values = np.full((len(sides), resamples), np.nan)
    for column in range(resamples if images else 0):
        weights = np.bincount(generator.integers(images, size=images), minlength=images)
        values[:, column] = [average_precision(side, weights, measure) for side in sides]
    return values


def _relative_drop(values: np.ndarray) -> np.ndarray:
    value, baseline = values[:, values[1] > 0]
    return 1 - value / baseline
