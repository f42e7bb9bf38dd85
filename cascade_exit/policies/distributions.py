"""How each exit's statistics are spread, and what they say about whether the exit is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from cascade_exit.evaluation import Quality
from cascade_exit.policies.pooling import Calibrations
from cascade_exit.policies.statistics import COMPARISONS, STATISTICS, check_statistic
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class StatisticDistribution:
    """One statistic at one exit.

    Attributes:
        mean: over the images.
        std: likewise, of the population.
        bin_edges: of the histogram, from the smallest to the largest value.
        histogram: images per bin.
        pearson: linear correlation with `image_correctness`; None where either is constant.
        spearman: correlation of the ranks; None likewise.
        auroc: chance that an image that the exit answers as well as the last one has a higher value than one that it
            does not, ties counting half; None where all images are alike.
    """

    mean: float
    std: float
    bin_edges: tuple[float, ...]
    histogram: tuple[int, ...]
    pearson: float | None
    spearman: float | None
    auroc: float | None


def statistic_distributions(
    trace: Trace, statistics: Sequence[str] | None = None, calibration: Calibrations | None = None
) -> dict[str, dict[str, StatisticDistribution]]:
    """Distributions by exit name and statistic.

    The last exit's are there for comparison; its AUROC is None, as it is always as good as itself.

    Args:
        trace: at least one image.
        statistics: names; all where None. One that compares exits is left out at the first.
        calibration: acts on the digests.

    Raises:
        UserError: the trace holds no image, or a statistic is no number.
    """
    names = list(STATISTICS) if statistics is None else list(statistics)
    for name in names:
        check_statistic(name)
    if not len(trace):
        raise UserError(f"trace of {trace.header.role}: it holds no image; trace a split that has some")
    last = trace.exits[trace.header.exit_names[-1]].quality
    found: dict[str, dict[str, StatisticDistribution]] = {}
    previous = None
    for exit_name in trace.header.exit_names:
        of_exit = trace.exits[exit_name]
        digest = of_exit.digest
        if calibration and exit_name in calibration:
            digest = calibration[exit_name].digest(digest)
        usable = [name for name in names if previous is not None or name not in COMPARISONS]
        values = {name: STATISTICS[name](digest, previous).double().numpy() for name in usable}
        found[exit_name] = {
            name: _distribution(f"{name} at {exit_name}", each, of_exit.quality, last) for name, each in values.items()
        }
        previous = digest
    return found


def image_correctness(quality: Quality) -> Float64[np.ndarray, " image"]:
    """F1; for images without objects 1 where nothing is claimed, 0 where something is."""
    return np.where(np.isnan(quality.f1), quality.false_positives == 0, quality.f1).astype(np.float64)


def as_good_as(quality: Quality, other: Quality) -> Bool[np.ndarray, " image"]:
    """Where an answer is not worse than another: by F1, and by false positives in images without objects."""
    by_objects = quality.f1 >= other.f1 - 1e-12
    return np.where(np.isnan(quality.f1), quality.false_positives <= other.false_positives, by_objects)


def auroc(values: Float[np.ndarray, " image"], positive: Bool[np.ndarray, " image"]) -> float | None:
    """Area under the ROC curve by ranks (Mann and Whitney, 1947); None where one side is empty."""
    positives = int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        return None
    rank_sum = average_ranks(values)[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def average_ranks(values: Float[np.ndarray, " image"]) -> Float64[np.ndarray, " image"]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def pearson(one: Float[np.ndarray, " image"], two: Float[np.ndarray, " image"]) -> float | None:
    """Linear correlation; None where either is constant."""
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])


def _distribution(where: str, values: np.ndarray, quality: Quality, last: Quality) -> StatisticDistribution:
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise UserError(f"{where}: no number for {wrong} of {values.size} images; trace again with a sound model")
    histogram, edges = np.histogram(values, HISTOGRAM_BINS)
    correctness = image_correctness(quality)
    return StatisticDistribution(
        mean=float(values.mean()),
        std=float(values.std()),
        bin_edges=tuple(edges.tolist()),
        histogram=tuple(histogram.tolist()),
        pearson=pearson(values, correctness),
        spearman=pearson(average_ranks(values), average_ranks(correctness)),
        auroc=auroc(values, as_good_as(quality, last)),
    )
