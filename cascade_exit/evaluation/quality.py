"""How good an answer is for each image by itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import ClassMatches
from cascade_exit.evaluation.matching import Matches


@dataclass(frozen=True, eq=False)
class Quality:
    """How good an exit's answer is for each image, at IoU 0.5 and one score threshold.

    An image without objects has nothing to be found, so that only its false positives speak.

    Attributes:
        recall: found share of the objects that are no crowd; NaN where the image has none.
        f1: harmonic mean of precision and recall; NaN where the image has no objects.
        false_positives: detections that found nothing (those on a crowd are not counted).
    """

    recall: Float[np.ndarray, " image"]
    f1: Float[np.ndarray, " image"]
    false_positives: Int[np.ndarray, " image"]


def image_quality(matches: Matches, score_threshold: float) -> Quality:
    """Recall, F1 and false positives of each image, over all classes.

    Detections below the threshold are left out of the matching that was done with them: detections choose objects
    best score first, so what a detection finds never depends on weaker ones.

    Args:
        matches: one exit's, or a mixture's.
        score_threshold: lower scores do not count.

    Returns:
        One value per image of `matches.image_ids`.

    Raises:
        ValueError: the threshold is not in [0, 1].
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f"score_threshold must lie in [0, 1], got {score_threshold}")
    images = matches.image_ids.size
    found, wrong, objects = (np.zeros(images, np.int64) for _ in range(3))
    for of_class in matches.classes:
        correct, counted = outcomes_at_iou_50(of_class)
        shown = of_class.scores >= score_threshold
        found += np.bincount(of_class.images[shown & correct], minlength=images)
        wrong += np.bincount(of_class.images[shown & counted & ~correct], minlength=images)
        objects += of_class.truth_count[0]
    # F1 = 2 TP / (2 TP + FP + FN), and TP + FN are the objects.
    recall = _ratio(found, objects, objects)
    return Quality(recall, _ratio(2 * found, found + wrong + objects, objects), wrong)


def outcomes_at_iou_50(matches: ClassMatches) -> tuple[Bool[np.ndarray, " detection"], Bool[np.ndarray, " detection"]]:
    """Whether each detection of a class found an object at IoU 0.5, and whether it counts (one on a crowd does not)."""
    correct = np.zeros(matches.scores.size, bool)
    counted = matches.in_area[0].copy()
    correct[matches.candidates] = matches.correct[0, 0]
    counted[matches.candidates] = matches.counted[0, 0]
    return correct, counted


def _ratio(part: np.ndarray, whole: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN for images without objects."""
    return np.divide(part, whole, out=np.full(part.size, np.nan), where=objects > 0)
