"""Average precision from matched detections, for any weighting of the images."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

from cascade_exit.evaluation.class_matches import AREA_NAMES, IOU_THRESHOLDS
from cascade_exit.evaluation.matching import Matches
from cascade_exit.evaluation.tally import Tally

Measure = Literal["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
ImageWeights = Int[np.ndarray, " image"] | Bool[np.ndarray, " image"]


def average_precision(matches: Matches, image_weights: ImageWeights | None = None, measure: Measure = "AP") -> float:
    """Mean over classes of COCO's interpolated average precision.

    Bit-equal to the reference implementation on the images with each repeated as often as its weight says (copies
    next to each other).

    Args:
        matches: one exit's, or a mixture's.
        image_weights: how often each image of `matches.image_ids` counts (a mask: 0 or 1); once where None.
        measure: "AP" over thresholds 0.50 to 0.95, at one threshold, or of one range of areas.

    Returns:
        In 0..1; NaN where the weighted images hold nothing to be found.

    Raises:
        ValueError: weights below zero, not whole, or not one per image; an unknown measure.
    """
    return average_precisions(matches, image_weights, (measure,))[measure]


def average_precisions(
    matches: Matches, image_weights: ImageWeights | None = None, measures: Sequence[Measure] = MEASURES
) -> dict[Measure, float]:
    """Several measures in one pass; see `average_precision`."""
    return measures_of(matches.tally, checked_weights(image_weights, matches.image_ids.size), measures)


def measures_of(
    tally: Tally,
    weights: Int[np.ndarray, " image"],
    measures: Sequence[Measure],
    shown: Bool[np.ndarray, " row"] | None = None,
) -> dict[Measure, float]:
    """Measures of those rows of a tally that are shown, by name, in the order asked for."""
    places = {measure: _area_and_thresholds(measure) for measure in measures}
    values: dict[Measure, float] = {}
    for area in dict.fromkeys(area for area, _ in places.values()):
        wanted = {measure: thresholds for measure, (at, thresholds) in places.items() if at == area}
        lowest = min(thresholds.start for thresholds in wanted.values())
        highest = max(thresholds.stop for thresholds in wanted.values())
        curves = tally.curves(area, range(lowest, highest), weights, shown)
        for measure, thresholds in wanted.items():
            # The reference averages in this order of axes; another order would round differently.
            own = curves[thresholds.start - lowest : thresholds.stop - lowest].ravel()
            values[measure] = float(np.mean(own)) if own.size else float("nan")
    return {measure: values[measure] for measure in measures}


def _area_and_thresholds(measure: Measure) -> tuple[int, range]:
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure}")
    if measure in ("AP50", "AP75"):
        index = int(np.argmin(np.abs(IOU_THRESHOLDS - int(measure[2:]) / 100)))
        return 0, range(index, index + 1)
    return AREA_NAMES.index(measure[3:] or "all"), range(len(IOU_THRESHOLDS))


def checked_weights(image_weights: ImageWeights | None, images: int) -> Int[np.ndarray, " image"]:
    """Weights as whole numbers, 1 where there are none.

    Raises:
        ValueError: below zero, not whole, or not one per image.
    """
    if image_weights is None:
        return np.ones(images, np.int64)
    if image_weights.shape != (images,) or image_weights.dtype.kind not in "biu":
        raise ValueError(
            f"image_weights must be {images} whole numbers, got {image_weights.dtype}{image_weights.shape}"
        )
    if image_weights.size and image_weights.min() < 0:
        raise ValueError(f"image_weights must be 0 or more, got {image_weights.min()}")
    return image_weights.astype(np.int64)
