"""How far a detection's score can be read as the probability that it is correct."""

import numpy as np
from jaxtyping import Bool, Float

from cascade_exit.evaluation.matching import Matches
from cascade_exit.evaluation.quality import outcomes_at_iou_50

ECE_BINS = 15
# A score of exactly 0 or 1 that turns out wrong would cost infinitely much.
SMALLEST_PROBABILITY = 1e-7


def calibration_errors(matches: Matches) -> dict[str, float]:
    """Calibration of "this detection is correct at IoU 0.5" over all kept detections.

    Returns:
        "ece" (expected calibration error, 15 bins) and "nll" (negative log likelihood in nats), both absent where
        there is no detection.
    """
    scores, correct = detection_outcomes(matches)
    if scores.size == 0:
        return {}
    return {
        "ece": expected_calibration_error(scores, correct),
        "nll": negative_log_likelihood(scores, correct),
    }


def detection_outcomes(
    matches: Matches,
) -> tuple[Float[np.ndarray, " detection"], Bool[np.ndarray, " detection"]]:
    """Score of every detection and whether it found an object at IoU 0.5; those on a crowd are left out."""
    scores, outcomes = [np.zeros(0)], [np.zeros(0, bool)]
    for of_class in matches.classes:
        correct, counted = outcomes_at_iou_50(of_class)
        scores.append(of_class.scores[counted])
        outcomes.append(correct[counted])
    return np.concatenate(scores), np.concatenate(outcomes)


def expected_calibration_error(
    scores: Float[np.ndarray, " detection"], correct: Bool[np.ndarray, " detection"], bins: int = ECE_BINS
) -> float:
    """Mean distance of score and frequency over bins of equal width (Guo et al., ICML 2017, eq. 3).

    Args:
        scores: in [0, 1], at least one.
        correct: what each score foretold.
        bins: number of bins over [0, 1].
    """
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=scores - correct, minlength=bins)
    return float(np.abs(gap).sum() / scores.size)


def negative_log_likelihood(scores: Float[np.ndarray, " detection"], correct: Bool[np.ndarray, " detection"]) -> float:
    """Mean of -log of the probability that the scores gave to what came true, in nats.

    Args:
        scores: in [0, 1], at least one.
        correct: what each score foretold.
    """
    foretold = np.where(correct, scores, 1 - scores)
    return float(-np.log(np.maximum(foretold, SMALLEST_PROBABILITY)).mean())
