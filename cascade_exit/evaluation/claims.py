"""What may be claimed of many figures at once: those that differ from zero by more than chance does to any of them."""

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95


def signs_beyond_chance(
    own: Float[np.ndarray, " figure"], resampled: Float[np.ndarray, "resample figure"], level: float = LEVEL
) -> Int[np.ndarray, " figure"]:
    """1 for figures above zero, -1 for those below, 0 for those that cannot be told from it.

    A figure is told from zero where it is more than q standard errors away, q being the quantile at `level` of the
    largest studentised deviation of any figure over the resamples (single-step max-T; Westfall and Young,
    Resampling-Based Multiple Testing, 1993). So all that is told holds at once with that confidence; intervals of each
    figure by itself would find something among a dozen figures half of the time.

    Args:
        own: figures, differences for instance; NaN is never told from zero.
        resampled: the same on resampled sets; NaN where a set has no such figure.
        level: of confidence in all claims together.
    """
    errors = standard_errors(resampled)
    # Of equal numbers, rounding leaves a deviation that is not quite zero.
    judged = np.flatnonzero(np.isfinite(own) & (errors > 1e-9 * (1 + np.abs(np.nan_to_num(own)))))
    signs = np.zeros(own.size, np.int64)
    if judged.size:
        deviations = np.abs(resampled[:, judged] - own[judged]) / errors[judged]
        # A set that holds nothing of a figure says nothing of it.
        reach = np.quantile(np.nan_to_num(deviations).max(axis=1), level)
        beyond = np.abs(own[judged]) > reach * errors[judged]
        signs[judged] = np.where(beyond, np.sign(own[judged]), 0)
    return signs


def standard_errors(resampled: Float[np.ndarray, "resample figure"]) -> Float[np.ndarray, " figure"]:
    """Standard deviation of each figure over the sets that have it; 0 where fewer than two do."""
    present = np.isfinite(resampled)
    count = present.sum(axis=0)
    values = np.where(present, resampled, 0.0)
    mean = values.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(present, (values - mean) ** 2, 0.0).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), 0.0)
