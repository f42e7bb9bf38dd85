"""Average precision from matched detections, for any weighting of the images."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.matching import AREA_NAMES, IOU_THRESHOLDS, ClassMatches, Matches

Measure = Literal["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"]
ImageWeights = Int[np.ndarray, " image"] | Bool[np.ndarray, " image"]

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)


def average_precision(matches: Matches, image_weights: ImageWeights | None = None, measure: Measure = "AP") -> float:
    """Mean over classes of COCO's interpolated average precision.

    Bit-equal to the reference implementation on the images with each repeated as often as its weight says (copies
    next to each other). Only candidates are looked at one by one: the highest precision at or beyond a recall is
    always reached at a true positive, and how many false positives stand before it is one cumulative sum.

    Args:
        matches: one exit's, or a mixture's.
        image_weights: how often each image of `matches.image_ids` counts (a mask: 0 or 1); once where None.
        measure: "AP" over thresholds 0.50 to 0.95, at one threshold, or of one range of areas.

    Returns:
        In 0..1; NaN where the weighted images hold nothing to be found.

    Raises:
        ValueError: weights below zero, not whole, or not one per image; an unknown measure.
    """
    area, thresholds = _measure_slices(measure)
    weights = _checked_weights(matches, image_weights)
    curves = [_precision_curve(each, weights, area, thresholds) for each in matches.classes]
    present = [curve for curve in curves if curve is not None]
    # The reference averages in this order of axes; another order would round differently.
    return float(np.mean(np.stack(present, axis=2).ravel())) if present else float("nan")


def _measure_slices(measure: Measure) -> tuple[int, slice]:
    if measure not in get_args(Measure):
        raise ValueError(f"measure must be one of {', '.join(get_args(Measure))}, got {measure}")
    if measure in ("AP50", "AP75"):
        index = int(np.argmin(np.abs(IOU_THRESHOLDS - int(measure[2:]) / 100)))
        return 0, slice(index, index + 1)
    return AREA_NAMES.index(measure[3:] or "all"), slice(None)


def _checked_weights(matches: Matches, image_weights: ImageWeights | None) -> np.ndarray:
    images = len(matches.image_ids)
    if image_weights is None:
        return np.ones(images, np.int64)
    if image_weights.shape != (images,) or image_weights.dtype.kind not in "biu":
        raise ValueError(
            f"image_weights must be {images} whole numbers, got {image_weights.dtype}{image_weights.shape}"
        )
    if image_weights.size and image_weights.min() < 0:
        raise ValueError(f"image_weights must be 0 or more, got {image_weights.min()}")
    return image_weights.astype(np.int64)


def _precision_curve(
    matches: ClassMatches, weights: np.ndarray, area: int, thresholds: slice
) -> Float[np.ndarray, "threshold recall"] | None:
    objects = int(matches.truth_count[area] @ weights)
    if objects == 0:
        return None
    correct, counted = matches.correct[area, thresholds], matches.counted[area, thresholds]
    curve = np.zeros((len(correct), RECALL_LEVELS.size))
    entries, rank = _weighted_candidates(matches, weights, area)
    if entries.size == 0:
        return curve
    in_area = matches.in_area[area, matches.candidates[entries]]
    # The rank of a candidate counted it and those before by their own area; what their match changes is added.
    changes = counted[:, entries].astype(np.int64) - in_area
    positives = np.cumsum(correct[:, entries], axis=1)
    precision = positives / ((rank + np.cumsum(changes, axis=1)) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = positives / objects
    for row in range(len(curve)):
        reached = np.searchsorted(recall[row], RECALL_LEVELS, side="left")
        inside = reached < entries.size
        curve[row, inside] = envelope[row, reached[inside]]
    return curve


def _weighted_candidates(
    matches: ClassMatches, weights: np.ndarray, area: int
) -> tuple[Int[np.ndarray, " entry"], Int[np.ndarray, " entry"]]:
    """Candidates, each as often as its image's weight, in order of rank.

    Returns:
        The place of each entry among the candidates, and its rank from 1 among detections in the area range.
    """
    rows = matches.candidates
    in_area = matches.in_area[area]
    weighted = _sum_before(weights[matches.images] * in_area)
    if weights.max() <= 1:
        entries = np.flatnonzero(weights[matches.images[rows]])
        return entries, weighted[rows[entries] + 1]
    copies = weights[matches.images[rows]]
    entries = np.repeat(np.arange(rows.size), copies)
    copy = np.arange(entries.size) - np.repeat(np.cumsum(copies) - copies, copies)
    # Detections of one image with equal scores stay together: a whole copy of the image comes before the next.
    first = matches.tie_first
    order = np.lexsort((copy, first[rows[entries]]))
    entries, copy = entries[order], copy[order]
    once = _sum_before(in_area)
    begin, row = first[rows[entries]], rows[entries]
    end = np.searchsorted(first, begin, side="right")
    rank = weighted[begin] + copy * (once[end] - once[begin]) + (once[row + 1] - once[begin])
    return entries, rank


def _sum_before(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(values.size + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
