import numpy as np
import pytest
import torch
from torch import Tensor

from cascade_exit.data import AugmentConfig
from cascade_exit.data.augment import Annotated, ImageAugment

from .scenes import COLOURS, MARK, extent, paint, pixels_of

FILL = (124, 116, 104)
BOXES = [[10, 12, 50, 60], [70, 20, 130, 44], [60, 60, 90, 104], [100, 70, 150, 110]]
MARK_PX = 6
NOTHING = {
    "flip_probability": 0.0,
    "zoom_out_probability": 0.0,
    "iou_crop_probability": 0.0,
    "photometric_probability": 0.0,
}


def _photo(boxes: list[list[int]] = BOXES, crowd: tuple[bool, ...] | None = None) -> Annotated:
    return Annotated(
        image=torch.from_numpy(paint(120, 160, boxes, mark_px=MARK_PX).transpose(2, 0, 1).copy()),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(1, len(boxes) + 1),
        crowd=torch.tensor(crowd or [False] * len(boxes), dtype=torch.bool),
    )


def _check_boxes_follow_pixels(changed: Annotated) -> int:
    """Every kept box is where its colour is; every dropped one has lost its centre. Returns how many were kept."""
    picture = changed.image.permute(1, 2, 0).numpy()
    marks = pixels_of(picture, MARK)
    kept = changed.labels.tolist()
    for label, colour in enumerate(COLOURS[: len(BOXES)], start=1):
        found = extent(pixels_of(picture, colour))
        if label in kept:
            # The mark may be all that is left of the object in a row or column at the border.
            np.testing.assert_allclose(changed.boxes[kept.index(label)], found, atol=MARK_PX / 2)
        elif found is not None:
            x1, y1, x2, y2 = found
            assert marks[y1:y2, x1:x2].sum() <= MARK_PX * MARK_PX / 2
    return len(kept)


@pytest.mark.parametrize(
    ("changes", "all_kept"),
    [
        ({"flip_probability": 1.0}, True),
        ({"zoom_out_probability": 1.0, "zoom_out_max": 2.0}, True),
        ({"iou_crop_probability": 1.0}, False),
        ({"flip_probability": 0.5, "zoom_out_probability": 0.5, "iou_crop_probability": 0.9}, False),
    ],
)
def test_boxes_follow_painted_pixels(changes: dict[str, float], all_kept: bool) -> None:
    augment = ImageAugment(AugmentConfig(**{**NOTHING, **changes}), FILL)
    kept = [_check_boxes_follow_pixels(augment(_photo(), seed)) for seed in range(25)]
    assert (min(kept) == len(BOXES)) == all_kept
    assert min(kept) >= 1


def test_a_flip_mirrors_pixels_and_boxes() -> None:
    photo = _photo()
    flipped = ImageAugment(AugmentConfig(**{**NOTHING, "flip_probability": 1.0}), FILL)(photo, 0)
    assert torch.equal(flipped.image, photo.image.flip(2))
    assert flipped.boxes[0].tolist() == [160 - 50, 12, 160 - 10, 60]


def test_zoom_out_fills_with_the_given_colour() -> None:
    zoomed = ImageAugment(AugmentConfig(**{**NOTHING, "zoom_out_probability": 1.0}), FILL)(_photo(), 3)
    assert zoomed.image.shape[1] > 120
    corners = zoomed.image[:, [0, 0, -1, -1], [0, -1, 0, -1]].T.tolist()
    assert list(FILL) in corners


def test_photometric_changes_leave_boxes_alone() -> None:
    photo = _photo()
    changed = ImageAugment(AugmentConfig(**{**NOTHING, "photometric_probability": 1.0}), FILL)(photo, 0)
    assert not torch.equal(changed.image, photo.image)
    assert torch.equal(changed.boxes, photo.boxes)


def test_no_probability_means_no_change() -> None:
    photo = _photo()
    changed = ImageAugment(AugmentConfig(**NOTHING), FILL)(photo, 0)
    assert all(torch.equal(before, after) for before, after in zip(photo, changed, strict=True))


def test_crops_reach_images_without_objects() -> None:
    augment = ImageAugment(AugmentConfig(**{**NOTHING, "iou_crop_probability": 1.0}), FILL)
    changed = [augment(_photo([]), seed) for seed in range(20)]
    assert {tuple(sample.boxes.shape) for sample in changed} == {(0, 4)}
    assert len({sample.image.shape for sample in changed}) > 5


def test_a_crowd_stays_as_far_as_it_is_seen_and_decides_no_crop() -> None:
    # One small object at the left; the crowd's centre is far from every crop around it that is narrow.
    boxes, crowd = [[10, 40, 40, 80], [44, 0, 160, 120]], (False, True)
    augment = ImageAugment(AugmentConfig(**{**NOTHING, "iou_crop_probability": 1.0, "iou_crop_min_scale": 0.3}), FILL)
    centre_lost = 0
    for seed in range(40):
        changed = augment(_photo(boxes, crowd), seed)
        assert 1 in changed.labels
        picture = changed.image.permute(1, 2, 0).numpy()
        found = extent(pixels_of(picture, COLOURS[1]))
        assert (2 in changed.labels) == (found is not None)
        if found is not None:
            row = changed.labels.tolist().index(2)
            assert changed.crowd[row]
            np.testing.assert_allclose(changed.boxes[row], found, atol=MARK_PX / 2)
            centre_lost += not pixels_of(picture, MARK)[:, found[0] :].any()
    assert centre_lost > 0


def _tensors_equal(first: Annotated, second: Annotated) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_result_is_a_function_of_the_seed_and_leaves_the_global_state_alone() -> None:
    augment = ImageAugment(AugmentConfig(photometric_probability=0.5), FILL)
    torch.manual_seed(1)
    first = augment(_photo(), 7)
    after_first = torch.rand(3)
    torch.manual_seed(2)
    torch.rand(5)
    assert _tensors_equal(augment(_photo(), 7), first)
    assert not _tensors_equal(augment(_photo(), 8), first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), after_first)


def test_tiny_photos_are_not_cropped_to_nothing() -> None:
    photo = Annotated(
        image=torch.zeros(3, 3, 200, dtype=torch.uint8),
        boxes=torch.tensor([[0.0, 0.0, 100.0, 3.0]]),
        labels=torch.ones(1, dtype=torch.int64),
        crowd=torch.zeros(1, dtype=torch.bool),
    )
    augment = ImageAugment(AugmentConfig(**{**NOTHING, "iou_crop_probability": 1.0}), FILL)
    assert all(augment(photo, seed).image.numel() > 0 for seed in range(10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip_probability": 1.5}, "flip_probability must be in"),
        ({"photometric_probability": -0.1}, "photometric_probability must be in"),
        ({"zoom_out_max": 0.5}, "zoom_out_max must be at least 1"),
        ({"iou_crop_min_scale": 0.0}, "iou_crop_min_scale must be in"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**changes)


def test_results_are_plain_tensors() -> None:
    changed = ImageAugment(AugmentConfig(), FILL)(_photo(), 0)
    assert {type(value) for value in changed} == {Tensor}
