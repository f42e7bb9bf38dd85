"""Kinds of images: by recorded difficulty, by how many objects they hold, how large, and how close to each other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import AREA_NAMES, AREA_RANGES
from cascade_exit.evaluation.matching import iou_by_row
from cascade_exit.evaluation.truth import ImageTruth, area_scales, boxes_xywh

# Fewest objects of each kind.
OBJECT_COUNTS = {"0": 0, "1": 1, "2-4": 2, "5+": 5}
# Lowest overlap (IoU) of the two objects of an image, of any class, that overlap most.
CROWDING = {"apart": 0.0, "touching": 0.05, "overlapping": 0.3}

Kinds = dict[str, dict[str, Bool[np.ndarray, " image"]]]


def image_kinds(truth: Sequence[ImageTruth], difficulties: Sequence[str | None] | None = None) -> Kinds:
    """Which images are of which kind.

    Crowds are no objects here: nothing asks for them to be found.

    Args:
        truth: the images.
        difficulties: of each, where the set records it.

    Returns:
        Masks by property ("difficulty", "objects", "size", "crowding") and kind; kinds without an image are left out.
        "size" is COCO's range of areas that most of an image's objects lie in (of equally many the smaller), in pixels
        of `area_unit(truth)`; images without objects have none. "crowding" is of images with at least two objects.
    """
    counts = np.array([(~image.crowd).sum() for image in truth], np.int64)
    kinds: Kinds = {}
    if difficulties is not None:
        recorded = np.array([difficulty or "" for difficulty in difficulties])
        kinds["difficulty"] = {str(name): recorded == name for name in np.unique(recorded) if name}
    kinds["objects"] = _by_place(list(OBJECT_COUNTS), _last_reached(list(OBJECT_COUNTS.values()), counts))
    kinds["size"] = _by_place(list(AREA_NAMES[1:]), np.where(counts > 0, _main_sizes(truth), -1))
    overlaps = np.array([_highest_overlap(image) for image in truth], np.float64)
    kinds["crowding"] = _by_place(
        list(CROWDING), np.where(counts > 1, _last_reached(list(CROWDING.values()), overlaps), -1)
    )
    return {name: masks for name, masks in kinds.items() if masks}


def size_places(areas: Float[np.ndarray, " object"]) -> Int[np.ndarray, " object"]:
    """0 for small, 1 for medium, 2 for large objects, by COCO's ranges of areas.

    An area on the border of two ranges counts in both for AP; here it is the larger.

    Args:
        areas: in square pixels of `area_unit`.
    """
    return np.searchsorted(AREA_RANGES[1:-1, 1], areas, side="right")


def _last_reached(borders: Sequence[float | int], values: np.ndarray) -> np.ndarray:
    return np.searchsorted(borders, values, side="right") - 1


def _by_place(names: Sequence[str], places: np.ndarray) -> dict[str, np.ndarray]:
    masks = {name: places == place for place, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _main_sizes(truth: Sequence[ImageTruth]) -> np.ndarray:
    """Of each image, place of the range of areas that most objects lie in."""
    sizes = [
        size_places(image.areas[~image.crowd] * scale) for image, scale in zip(truth, area_scales(truth), strict=True)
    ]
    return np.array([np.bincount(of_image, minlength=len(AREA_NAMES) - 1).argmax() for of_image in sizes], np.int64)


def _highest_overlap(image: ImageTruth) -> float:
    boxes = boxes_xywh(image.boxes[~image.crowd])
    one, other = np.triu_indices(len(boxes), 1)
    return float(iou_by_row(boxes[one], boxes[other], np.zeros(one.size, bool)).max(initial=0.0))
