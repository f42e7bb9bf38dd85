"""Bootstrap intervals of average precision: how much of a figure, or of a difference, the choice of images makes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from cascade_exit.evaluation.average_precision import Measure, average_precision
from cascade_exit.evaluation.matching import Matches

Interval = tuple[float, float]
Groups = Sequence[str]


def resampled_weights(
    images: int, resamples: int = 1000, seed: int = 0, groups: Groups | None = None
) -> Iterator[Int[np.ndarray, " image"]]:
    """How often each image counts in each of many sets drawn with replacement.

    Args:
        images: their number.
        resamples: number of sets, each of as many images, or groups, as there are.
        seed: the same seed draws the same sets.
        groups: of each image, where images belong together (a video, a burst): whole groups are drawn.

    Raises:
        ValueError: `resamples` below 1, or not one group per image.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if groups is not None and len(groups) != images:
        raise ValueError(f"groups must be one per image ({images}), got {len(groups)}")
    # Numbered in the order of their first image: where each image is its own group, it is its own number.
    numbers = {group: number for number, group in enumerate(dict.fromkeys(range(images) if groups is None else groups))}
    of_image = np.array([numbers[group] for group in (range(images) if groups is None else groups)], np.int64)
    generator = np.random.default_rng(seed)
    for _ in range(resamples if images else 0):
        drawn = generator.integers(len(numbers), size=len(numbers))
        yield np.bincount(drawn, minlength=len(numbers))[of_image]


def percentile_interval(values: Float[np.ndarray, " resample"], level: float = 0.95) -> Interval | None:
    """The middle of a statistic's values on resampled sets; None where no value is a number.

    Raises:
        ValueError: `level` out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    present = values[np.isfinite(values)]
    if present.size == 0:
        return None
    low, high = np.quantile(present, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    matches: Matches,
    measure: Measure = "AP",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Groups | None = None,
) -> Interval | None:
    """Percentile interval of a measure under resampling of the images (Efron, Annals of Statistics 1979).

    Args:
        matches: one exit's, or a mixture's.
        measure: see `average_precision`.
        resamples: number of sets of images drawn with replacement, each as large as the whole.
        seed: the same seed draws the same sets.
        level: of the images' distribution that the interval covers.
        groups: see `resampled_weights`.

    Returns:
        (low, high), or None where no resample holds anything to be found.

    Raises:
        ValueError: `resamples` or `level` out of range.
    """
    return _interval([matches], lambda values: values[0], measure, resamples, seed, level, groups)


def difference_interval(
    matches: Matches,
    other: Matches,
    measure: Measure = "AP",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Groups | None = None,
) -> Interval | None:
    """Interval of (measure of `matches`) - (measure of `other`), both taken on the same resampled images.

    Raises:
        ValueError: not of the same images; otherwise as `bootstrap_interval`, as are arguments and result.
    """
    return _interval([matches, other], lambda values: values[0] - values[1], measure, resamples, seed, level, groups)


def relative_drop_interval(
    matches: Matches,
    baseline: Matches,
    measure: Measure = "AP",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Groups | None = None,
) -> Interval | None:
    """Interval of (baseline - measure) / baseline, both taken on the same resampled images.

    Raises:
        ValueError: not of the same images; otherwise as `bootstrap_interval`, as are arguments and result.
            Resamples on which the baseline finds nothing have no relative drop and are left out.
    """
    return _interval([matches, baseline], _relative_drop, measure, resamples, seed, level, groups)


def _interval(
    sides: list[Matches],
    statistic: Callable[[np.ndarray], np.ndarray],
    measure: Measure,
    resamples: int,
    seed: int,
    level: float,
    groups: Groups | None,
) -> Interval | None:
    image_ids = sides[0].image_ids
    if any(not np.array_equal(image_ids, side.image_ids) for side in sides[1:]):
        raise ValueError("a paired interval needs both sides matched on the same images")
    rows = [
        [average_precision(side, weights, measure) for side in sides]
        for weights in resampled_weights(image_ids.size, resamples, seed, groups)
    ]
    return percentile_interval(statistic(np.array(rows, np.float64).reshape(-1, len(sides)).T), level)


def _relative_drop(values: np.ndarray) -> np.ndarray:
    value, baseline = values[:, values[1] > 0]
    return 1 - value / baseline
