"""Average precision of every class on many sets of images at once, such as all resamples of a bootstrap."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cascade_exit.evaluation.class_matches import IOU_THRESHOLDS, ClassMatches
from cascade_exit.evaluation.matching import Matches
from cascade_exit.evaluation.tally import RECALL_LEVELS, hits_before_level

Weights = Int[np.ndarray, "set image"]
# Numbers looked at in one go: arrays that stay in the processor's cache are several times as fast.
NUMBERS_AT_ONCE = 400_000


class ClassAverages(NamedTuple):
    """AP of every class on several sets of images; NaN where a set holds nothing of the class.

    Attributes:
        ap: over thresholds 0.50 to 0.95.
        ap50: at IoU 0.5.
    """

    ap: Float[np.ndarray, "set class_"]
    ap50: Float[np.ndarray, "set class_"]


def class_averages(matches: Matches, weights: Weights) -> ClassAverages:
    """COCO's average precision of each class, all areas, when images count as often as the weights say.

    Equal to `average_precision` of the class alone up to rounding, and up to the order of detections that have the
    same score in the same image: there, copies of an image count next to each other row by row. A thousand sets
    cost about as much as fifty one by one.

    Args:
        matches: one exit's, or a mixture's.
        weights: how often each image of `matches.image_ids` counts in each set, 0 or more.

    Raises:
        ValueError: weights below zero, or not one per image.
    """
    if weights.shape[1] != matches.image_ids.size:
        raise ValueError(f"weights must be of {matches.image_ids.size} images, got {weights.shape[1]}")
    if weights.size and weights.min() < 0:
        raise ValueError(f"weights must be 0 or more, got {weights.min()}")
    whole, seen = weights.astype(np.int32), weights.max(axis=0, initial=0) > 0
    shape = (len(weights), len(matches.classes))
    averages = ClassAverages(np.full(shape, np.nan), np.full(shape, np.nan))
    for index, of_class in enumerate(matches.classes):
        if of_class.truth_count[0].any():
            own = of_class if seen.all() else of_class.some(seen[of_class.images])
            averages.ap[:, index], averages.ap50[:, index] = _averages(own, whole)
    return averages


def mean_over_classes(of_classes: Float[np.ndarray, "set class_"]) -> Float[np.ndarray, " set"]:
    """AP of each set: the mean over the classes that it holds, NaN where it holds none."""
    held = np.isfinite(of_classes)
    count = held.sum(axis=1)
    total = np.where(held, of_classes, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(of_classes), np.nan), where=count > 0)


def _averages(of_class: ClassMatches, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AP and AP50 of each set."""
    found = np.flatnonzero(of_class.correct[0].any(axis=0))
    # What stands below the last true positive changes nothing.
    rows = int(of_class.candidates[found[-1]]) + 1 if found.size else 0
    step = max(1, NUMBERS_AT_ONCE // max(rows, RECALL_LEVELS.size))
    parts = [_part(of_class, weights[start : start + step], rows) for start in range(0, len(weights), step)]
    by_threshold = np.concatenate(parts)
    return by_threshold.mean(axis=1), by_threshold[:, 0]


def _part(of_class: ClassMatches, weights: np.ndarray, rows: int) -> Float[np.ndarray, "set threshold"]:
    objects = weights @ of_class.truth_count[0]
    averages = np.where(objects[:, None] > 0, 0.0, np.full((len(weights), len(IOU_THRESHOLDS)), np.nan))
    if not rows:
        return averages
    kept = of_class.candidates < rows
    candidates, in_area = of_class.candidates[kept], of_class.in_area[0, :rows]
    copies = np.take(weights, of_class.images[:rows], axis=1)
    own = copies[:, candidates]
    detections = np.cumsum(copies * in_area, axis=1, dtype=np.int32)[:, candidates]
    # Levels of recall are looked up in all sets at once, each in a range of numbers of its own.
    offsets = np.arange(len(weights))[:, None] * (int(objects.max()) + 1)
    wanted = (hits_before_level(objects) + 1 + offsets).ravel()
    for threshold in range(len(IOU_THRESHOLDS)):
        correct, counted = of_class.correct[0, threshold, kept], of_class.counted[0, threshold, kept]
        hits = np.flatnonzero(correct)
        if not hits.size:
            continue
        rank = detections[:, hits]
        change = counted.astype(np.int32) - in_area[candidates]
        if change.any():
            rank = rank + np.cumsum(own * change, axis=1)[:, hits]
        found = np.cumsum(own[:, hits], axis=1, dtype=np.int64)
        precision = np.zeros((len(weights), hits.size + 1))
        np.divide(found, rank, out=precision[:, :-1], where=found > 0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # One column more than there are hits: levels that are not reached find precision 0 there.
        first = np.searchsorted((found + offsets).ravel(), wanted).reshape(len(weights), -1)
        first -= np.arange(len(weights))[:, None] * hits.size
        # A set that holds nothing of the class stays without an AP.
        averages[:, threshold] += np.take_along_axis(best, first, axis=1).mean(axis=1)
    return averages
