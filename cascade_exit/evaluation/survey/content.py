"""Images and boxes of a set, by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import AREA_NAMES
from cascade_exit.evaluation.kinds import size_places
from cascade_exit.evaluation.truth import AreaUnit, ImageTruth, area_scales, area_unit

SIZES = AREA_NAMES[1:]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
# Fewer boxes of a class say nothing of a threshold or of an AP.
FEWEST_BOXES = 10


@dataclass(frozen=True)
class ClassContent:
    """What a set holds of one class, or of all.

    Attributes:
        images: that hold it (a crowd of it, too).
        boxes: of single objects.
        crowds: boxes that enclose a crowd; they count nowhere else.
        sizes: boxes that are small, medium and large by COCO's areas.
        side_quantiles: of the boxes' side (root of the area) as a share of the image's, at `QUANTILES`; empty
            without boxes.
    """

    images: int
    boxes: int
    crowds: int
    sizes: dict[str, int]
    side_quantiles: tuple[float, ...]


@dataclass(frozen=True)
class SetContent:
    """What a set holds.

    Attributes:
        images: all.
        negatives: images without any box.
        area_unit: in which pixels small, medium and large are told apart.
        all: over all classes.
        classes: by name.
    """

    images: int
    negatives: int
    area_unit: AreaUnit
    all: ClassContent
    classes: dict[str, ClassContent]


def set_content(truth: Sequence[ImageTruth], class_names: Sequence[str]) -> SetContent:
    """Counts images and boxes.

    Args:
        truth: the images.
        class_names: name of label i+1 at place i.
    """
    counts = [len(image.labels) for image in truth]
    image_of = np.repeat(np.arange(len(truth)), counts)
    labels = _joined([image.labels for image in truth], np.int64)
    crowd = _joined([image.crowd for image in truth], bool)
    areas = _joined([image.areas for image in truth], np.float64) * np.repeat(area_scales(truth), counts)
    sides = _joined([_relative_sides(image) for image in truth], np.float64)
    sizes = size_places(areas)

    def of(mask: Bool[np.ndarray, " box"]) -> ClassContent:
        single = mask & ~crowd
        return ClassContent(
            images=len(np.unique(image_of[mask])),
            boxes=int(single.sum()),
            crowds=int((mask & crowd).sum()),
            sizes={name: int((sizes[single] == place).sum()) for place, name in enumerate(SIZES)},
            side_quantiles=tuple(map(float, np.quantile(sides[single], QUANTILES))) if single.any() else (),
        )

    return SetContent(
        images=len(truth),
        negatives=counts.count(0),
        area_unit=area_unit(truth),
        all=of(np.ones(len(labels), dtype=bool)),
        classes={name: of(labels == label) for label, name in enumerate(class_names, start=1)},
    )


def co_occurrence(truth: Sequence[ImageTruth], classes: int) -> Int[np.ndarray, "class class"]:
    """Number of images that hold both classes; on the diagonal, that hold the class at all.

    Args:
        truth: the images.
        classes: number of classes.
    """
    holds = np.zeros((len(truth), classes), dtype=np.int64)
    for row, image in enumerate(truth):
        holds[row, image.labels - 1] = 1
    return holds.T @ holds


def thin_classes(roles: Mapping[str, SetContent]) -> dict[str, dict[str, int]]:
    """Classes, by role, of which there are too few boxes: none in any role, fewer than 10 where figures are made.

    Args:
        roles: what each holds.
    """
    thin = {}
    for role, content in roles.items():
        fewest = FEWEST_BOXES if role in ("calibrate", "test") else 1
        found = {name: held.boxes for name, held in content.classes.items() if held.boxes < fewest}
        if found:
            thin[role] = found
    return thin


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *(array.astype(dtype) for array in arrays)])


def _relative_sides(image: ImageTruth) -> Float[np.ndarray, " box"]:
    extent = (image.boxes[:, 2:] - image.boxes[:, :2]).astype(np.float64)
    return np.sqrt(extent.prod(axis=1) / (image.width * image.height))
