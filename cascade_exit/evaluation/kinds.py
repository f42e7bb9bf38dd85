"""Kinds of images: by recorded difficulty, by how many objects they hold, by how large the largest is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import AREA_NAMES, AREA_RANGES
from cascade_exit.evaluation.truth import ImageTruth, area_scales

# Fewest objects of each kind.
OBJECT_COUNTS = {"0": 0, "1": 1, "2-3": 2, "4+": 4}

Kinds = dict[str, dict[str, Bool[np.ndarray, " image"]]]


def image_kinds(truth: Sequence[ImageTruth], difficulties: Sequence[str | None] | None = None) -> Kinds:
    """Which images are of which kind.

    Crowds are no objects here: nothing asks for them to be found.

    Args:
        truth: the images.
        difficulties: of each, where the set records it.

    Returns:
        Masks by property ("difficulty", "objects", "largest") and kind; kinds without an image are left out.
        "largest" is the size of the largest object by COCO's ranges of areas, in pixels of `area_unit(truth)`; images
        without objects have none.
    """
    counts = np.array([(~image.crowd).sum() for image in truth], np.int64)
    kinds: Kinds = {}
    if difficulties is not None:
        recorded = np.array([difficulty or "" for difficulty in difficulties])
        kinds["difficulty"] = {str(name): recorded == name for name in np.unique(recorded) if name}
    fewest = list(OBJECT_COUNTS.values())
    kinds["objects"] = _by_place(list(OBJECT_COUNTS), np.searchsorted(fewest, counts, side="right") - 1)
    sizes = size_places(_largest_areas(truth))
    kinds["largest"] = _by_place(list(AREA_NAMES[1:]), np.where(counts > 0, sizes, -1))
    return {name: masks for name, masks in kinds.items() if masks}


def size_places(areas: Float[np.ndarray, " object"]) -> Int[np.ndarray, " object"]:
    """0 for small, 1 for medium, 2 for large objects, by COCO's ranges of areas.

    An area on the border of two ranges counts in both for AP; here it is the larger.

    Args:
        areas: in square pixels of `area_unit`.
    """
    return np.searchsorted(AREA_RANGES[1:-1, 1], areas, side="right")


def _by_place(names: Sequence[str], places: np.ndarray) -> dict[str, np.ndarray]:
    masks = {name: places == place for place, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _largest_areas(truth: Sequence[ImageTruth]) -> np.ndarray:
    scales = area_scales(truth)
    largest = [image.areas[~image.crowd].max(initial=0.0) for image in truth]
    return np.array(largest, np.float64) * scales
