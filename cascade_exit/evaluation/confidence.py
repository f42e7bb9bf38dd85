"""Distribution of confidences, to see an exit's scores drift or collapse during training."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class ConfidenceDistribution:
    """Of values in [0, 1].

    Attributes:
        count: number of values, at least one.
        mean: of the values.
        std: of the values (of the population).
        histogram: values in each of 20 bins of equal width over [0, 1]; 1 falls into the last.
    """

    count: int
    mean: float
    std: float
    histogram: Int[np.ndarray, "20"]


def confidence_distribution(values: Float[np.ndarray, "..."]) -> ConfidenceDistribution | None:
    """Mean, spread and histogram of confidences; None where there are none.

    Raises:
        ValueError: a value that is NaN or outside [0, 1].
    """
    flat = values.astype(np.float64).ravel()
    if flat.size == 0:
        return None
    wrong = flat[~((flat >= 0) & (flat <= 1))]
    if wrong.size:
        raise ValueError(f"confidences must be in [0, 1]; {wrong.size} of {flat.size} are not, e.g. {wrong[0]}")
    histogram, _ = np.histogram(flat, bins=HISTOGRAM_BINS, range=(0.0, 1.0))
    return ConfidenceDistribution(flat.size, float(flat.mean()), float(flat.std()), histogram)
