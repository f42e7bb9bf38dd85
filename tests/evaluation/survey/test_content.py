"""Counts against a set written down by hand, and against counting image by image."""

import numpy as np
import pytest

from cascade_exit.evaluation import ImageTruth
from cascade_exit.evaluation.survey import co_occurrence, set_content, thin_classes

CLASSES = ("chair", "dog", "vase")
Box = tuple[int, tuple[float, float, float, float]]


def image(*boxes: Box, crowd: tuple[int, ...] = (), original: tuple[int, int] | None = None) -> ImageTruth:
    """An image of 200 x 100 pixels."""
    corners = np.array([corners for _, corners in boxes], np.float32).reshape(-1, 4)
    return ImageTruth(
        image_id=1,
        width=200,
        height=100,
        boxes=corners,
        labels=np.array([label for label, _ in boxes], np.int64),
        crowd=np.isin(np.arange(len(boxes)), crowd),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
        original_size=original,
    )


SMALL, MEDIUM, LARGE = (0, 0, 10, 20), (0, 0, 50, 40), (0, 0, 160, 80)


def test_a_set_by_hand() -> None:
    images = [
        image((1, SMALL), (1, MEDIUM), (2, LARGE)),
        image((1, LARGE), (1, MEDIUM), crowd=(1,)),
        image(),
        image((2, MEDIUM), crowd=(0,)),
    ]
    content = set_content(images, CLASSES)
    assert (content.images, content.negatives, content.area_unit) == (4, 1, "stored")
    chair, dog, vase = content.classes.values()
    assert (chair.images, chair.boxes, chair.crowds) == (2, 3, 1)
    assert chair.sizes == {"small": 1, "medium": 1, "large": 1}
    # Sides of 10x20, 50x40 and 160x80 in an image of 200x100: square roots of 1 %, 10 % and 64 %.
    assert chair.side_quantiles[2] == pytest.approx(0.1**0.5)
    assert chair.side_quantiles[0] == pytest.approx(0.8 * 0.1 + 0.2 * 0.1**0.5)
    assert (dog.images, dog.boxes, dog.crowds) == (2, 1, 1)
    assert (vase.images, vase.boxes, vase.side_quantiles) == (0, 0, ())
    assert (content.all.boxes, content.all.crowds, content.all.images) == (4, 2, 3)


def test_sizes_are_those_of_the_original_photo_where_it_is_known() -> None:
    # 2,000 stored pixels are medium; of a photo that was four times as wide and high they were 32,000, large.
    known = [image((1, MEDIUM), original=(400, 800))]
    assert set_content(known, CLASSES).area_unit == "original"
    assert set_content(known, CLASSES).all.sizes == {"small": 0, "medium": 0, "large": 1}
    mixed = [*known, image()]
    assert set_content(mixed, CLASSES).area_unit == "stored"
    assert set_content(mixed, CLASSES).all.sizes == {"small": 0, "medium": 1, "large": 0}


def test_co_occurrence_counts_images() -> None:
    rng = np.random.default_rng(0)
    images = [image(*((int(label), SMALL) for label in rng.integers(1, 4, rng.integers(0, 5)))) for _ in range(50)]
    found = co_occurrence(images, 3)
    for one in range(3):
        for two in range(3):
            both = sum({one + 1, two + 1} <= set(each.labels.tolist()) for each in images)
            assert found[one, two] == both


def test_thin_classes_by_role() -> None:
    many, few = (
        image(*[(label, SMALL) for label in (1, 2, 3) for _ in range(10)]),
        image(*[(1, SMALL)] * 10, (2, SMALL)),
    )
    contents = {role: set_content([few], CLASSES) for role in ("train", "calibrate")}
    contents["test"] = set_content([many], CLASSES)
    assert thin_classes(contents) == {"train": {"vase": 0}, "calibrate": {"dog": 1, "vase": 0}}


def test_a_set_without_boxes() -> None:
    content = set_content([image(), image()], CLASSES)
    assert (content.negatives, content.all.boxes) == (2, 0)
    assert co_occurrence([image()], 3).tolist() == [[0] * 3] * 3
