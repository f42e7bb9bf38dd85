import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from cascade_exit.data import AugmentConfig, Batch, BatchAugmenter, InputConfig, Sample, collate
from cascade_exit.data.augment_plan import AugmentPlan, contrast_matrices, draw_plan, hue_matrix, saturation_matrix
from cascade_exit.data.batch_augment import change_colours, move_targets, sample_windows

from .scenes import COLOURS, MARK, extent, paint, pixels_of

SIZE = 160
INPUT = InputConfig(size_px=SIZE)
BOXES = [[10, 12, 50, 60], [70, 20, 130, 44], [60, 60, 90, 104], [100, 70, 150, 140]]
MARK_PX = 8
NOTHING = AugmentConfig(
    kind="batch",
    flip_probability=0.0,
    zoom_out_probability=0.0,
    iou_crop_probability=0.0,
    photometric_probability=0.0,
)
EVERYTHING = AugmentConfig(kind="batch", zoom_out_probability=0.5, zoom_out_max=4.0, photometric_probability=0.5)
IDENTITY = AugmentPlan(np.array([0.0, 0.0, SIZE, SIZE]), False, np.eye(3), np.zeros((3, 3)))


def _sample(image_id: int, boxes: list[list[int]] = BOXES, crowd: list[bool] | None = None) -> Sample:
    return Sample(
        image=torch.from_numpy(paint(SIZE, SIZE, boxes, mark_px=MARK_PX).transpose(2, 0, 1).copy()),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(1, len(boxes) + 1),
        crowd=torch.tensor(crowd or [False] * len(boxes), dtype=torch.bool),
        image_id=image_id,
        original_size=(SIZE, SIZE),
    )


def _batch(count: int) -> Batch:
    return collate([_sample(image_id) for image_id in range(count)])


def _kept(batch: Batch, row: int) -> dict[int, Tensor]:
    labels = batch.targets.labels[row]
    return {int(label): box for label, box in zip(labels, batch.targets.boxes[row], strict=True) if label > 0}


@pytest.mark.parametrize(
    ("changes", "all_kept"),
    [
        ({"flip_probability": 1.0}, True),
        ({"zoom_out_probability": 1.0, "zoom_out_max": 2.5}, True),
        ({"iou_crop_probability": 1.0}, False),
        ({"flip_probability": 0.5, "zoom_out_probability": 0.5, "iou_crop_probability": 0.8}, False),
    ],
)
def test_boxes_follow_painted_pixels(changes: dict[str, float], all_kept: bool) -> None:
    augmented = BatchAugmenter(replace(NOTHING, **changes), INPUT, seed=0)(_batch(30), epoch=1)
    counts = []
    for row, picture in enumerate(augmented.images.permute(0, 2, 3, 1).numpy()):
        kept, marks = _kept(augmented, row), pixels_of(picture, MARK)
        counts.append(len(kept))
        for label, colour in enumerate(COLOURS[: len(BOXES)], start=1):
            found = extent(pixels_of(picture, colour))
            if label in kept:
                # Along the border the white mark may cover what is left of the object.
                touches = min(kept[label].tolist()) <= 0 or max(kept[label].tolist()) >= SIZE
                np.testing.assert_allclose(kept[label], found, atol=2 + 4 * touches)
            elif found is not None:
                x1, y1, x2, y2 = found
                inner = marks[y1:y2, x1:x2]
                # At most half of the mark, at up to 3.3 times its size.
                assert inner.sum() <= (MARK_PX * 3.4) ** 2 / 2
    assert (min(counts) == len(BOXES)) == all_kept
    assert min(counts) >= 1


def test_nothing_asked_changes_no_bit() -> None:
    batch = _batch(3)
    augmented = BatchAugmenter(NOTHING, INPUT, seed=0)(batch, epoch=0)
    assert torch.equal(augmented.images, batch.images)
    assert torch.equal(augmented.targets.boxes, batch.targets.boxes)
    assert torch.equal(augmented.targets.labels, batch.targets.labels)


def test_a_flip_is_exact() -> None:
    batch = _batch(2)
    augmented = BatchAugmenter(replace(NOTHING, flip_probability=1.0), INPUT, seed=0)(batch, epoch=0)
    assert torch.equal(augmented.images, batch.images.flip(3))
    assert augmented.targets.boxes[0, 0].tolist() == [SIZE - 50, 12, SIZE - 10, 60]


def test_an_image_is_augmented_alike_in_every_batch_and_order() -> None:
    augmenter = BatchAugmenter(EVERYTHING, INPUT, seed=4)
    noise = torch.randint(0, 256, (11, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    together = replace(_batch(11), images=noise)
    augmented = augmenter(together, epoch=3)
    for rows in ([5], [9, 5, 0], [5, 1, 2, 3, 4]):
        part = collate([replace(_sample(image_id), image=noise[image_id]) for image_id in rows])
        alone = augmenter(part, epoch=3)
        for place, row in enumerate(rows):
            assert torch.equal(alone.images[place], augmented.images[row])
            assert {k: v.tolist() for k, v in _kept(alone, place).items()} == {
                k: v.tolist() for k, v in _kept(augmented, row).items()
            }


def test_a_whole_batch_at_once_equals_its_images_one_by_one() -> None:
    noise = torch.randint(0, 256, (9, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = np.array(BOXES, dtype=np.float32)
    plans = [draw_plan(EVERYTHING, boxes, SIZE, np.random.default_rng(seed)) for seed in range(9)]
    coloured, sampled = change_colours(noise, plans), sample_windows(noise, plans, INPUT.fill)
    for row, plan in enumerate(plans):
        assert torch.equal(change_colours(noise[row : row + 1], [plan])[0], coloured[row])
        assert torch.equal(sample_windows(noise[row : row + 1], [plan], INPUT.fill)[0], sampled[row])


def test_seed_epoch_and_image_id_each_change_the_result() -> None:
    same = collate([_sample(1), _sample(1), _sample(2)])
    images = BatchAugmenter(EVERYTHING, INPUT, seed=0)(same, epoch=0).images
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert not torch.equal(images[0], BatchAugmenter(EVERYTHING, INPUT, seed=1)(same, epoch=0).images[0])
    assert not torch.equal(images[0], BatchAugmenter(EVERYTHING, INPUT, seed=0)(same, epoch=1).images[0])


def test_the_global_random_state_is_not_touched() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    BatchAugmenter(EVERYTHING, INPUT, seed=1)(_batch(2), epoch=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_windows_are_sampled_as_torchvision_resizes_crops() -> None:
    noise = torch.randint(0, 256, (1, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plan = replace(IDENTITY, window=np.array([20.0, 30.0, 120.0, 90.0]))
    sampled = sample_windows(noise, [plan], (0, 0, 0)).float()
    expected = transform.resized_crop(noise.float(), 30, 20, 60, 100, [SIZE, SIZE], antialias=False)
    # torchvision repeats the crop's outermost pixels, the window sees those beyond.
    assert (sampled - expected)[..., 4:-4, 4:-4].abs().max() <= 0.51


def test_outside_of_the_image_is_the_fill_colour() -> None:
    plan = replace(IDENTITY, window=np.array([-SIZE, -SIZE, SIZE, SIZE], dtype=float))
    sampled = sample_windows(torch.full((1, 3, SIZE, SIZE), 200, dtype=torch.uint8), [plan], (1, 2, 3))[0]
    half = SIZE // 2
    assert sampled[:, : half - 1].flatten(1).unique(dim=1).T.tolist() == [[1, 2, 3]]
    assert (sampled[:, half + 1 :, half + 1 :] == 200).all()


def test_photometric_changes_do_not_reach_the_fill() -> None:
    config = replace(NOTHING, zoom_out_probability=1.0, photometric_probability=1.0)
    augmented = BatchAugmenter(config, INPUT, seed=0)(_batch(10), epoch=0)
    for image in augmented.images:
        corners = image[:, [0, 0, -1, -1], [0, -1, 0, -1]].T.tolist()
        assert list(INPUT.fill) in corners


@pytest.mark.parametrize("times", [2, 4])
def test_far_zoom_out_averages_instead_of_aliasing(times: int) -> None:
    stripes = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    stripes[..., ::2] = 200
    # Moved by half a pixel, so that bilinear sampling alone would meet only stripes or only gaps.
    window = np.array([-1.0, -1.0, 2 * times - 1.0, 2 * times - 1.0]) * SIZE / 2 + 0.5
    sampled = sample_windows(stripes, [replace(IDENTITY, window=window)], (0, 0, 0))[0, 0]
    side, start = SIZE // times, SIZE // times // 2
    inner = sampled[start + 2 : start + side - 2, start + 2 : start + side - 2].float()
    assert inner.std() < 1
    assert inner.mean() == pytest.approx(100, abs=1)


def _colours(of_pixel: np.ndarray, of_mean: np.ndarray, images: Tensor) -> Tensor:
    return change_colours(images, [replace(IDENTITY, of_pixel=of_pixel, of_mean=of_mean)] * len(images)).float()


def test_photometric_changes_equal_torchvisions() -> None:
    # From 90 to 160: no change below leaves the range, where torchvision clamps after every step.
    images = torch.randint(90, 160, (2, 3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    none, zeros = np.eye(3), np.zeros((3, 3))
    floats = images.float() / 255
    cases = [
        (_colours(0.9 * none, zeros, images), transform.adjust_brightness(floats, 0.9)),
        (_colours(*contrast_matrices(none, zeros, 1.4), images), transform.adjust_contrast(floats, 1.4)),
        (_colours(saturation_matrix(1.5), zeros, images), transform.adjust_saturation(floats, 1.5)),
        (_colours(saturation_matrix(0.5), zeros, images), transform.adjust_saturation(floats, 0.5)),
    ]
    for ours, theirs in cases:
        # torchvision's luma weights have four digits.
        assert (ours - theirs * 255).abs().max() < 0.6


def test_hue_turns_the_way_torchvisions_does() -> None:
    image = torch.tensor([150, 110, 110], dtype=torch.uint8)[:, None, None].expand(1, 3, 4, 4)
    for turns in (-0.05, 0.05):
        ours = _colours(hue_matrix(turns), np.zeros((3, 3)), image)[0, :, 0, 0]
        theirs = transform.adjust_hue(image.float() / 255, turns)[0, :, 0, 0] * 255
        # Ours turns on a circle, theirs around a hexagon.
        difference = _hue(ours) - _hue(theirs)
        assert abs((difference + 0.5) % 1 - 0.5) < 0.03


def _hue(rgb: Tensor) -> float:
    return colorsys.rgb_to_hsv(*(rgb / 255).tolist())[0]


def test_crowds_stay_as_far_as_they_are_seen() -> None:
    batch = collate([_sample(1, [[0, 0, 100, 100], [100, 100, 160, 160], [0, 0, 20, 20]], [True, False, True])])
    plan = replace(IDENTITY, window=np.array([80.0, 80.0, 160.0, 160.0]))
    moved = move_targets(batch.targets, [plan], SIZE)
    assert moved.labels.tolist() == [[1, 2]]
    assert moved.crowd.tolist() == [[True, False]]
    assert moved.boxes.tolist() == [[[0, 0, 40, 40], [40, 40, 160, 160]]]


def test_objects_with_their_centre_outside_and_slivers_are_dropped() -> None:
    boxes = [[0, 0, 150, 100], [100, 100, 160, 160], [120, 90, 140, 91]]
    batch = collate([_sample(1, boxes)])
    plan = replace(IDENTITY, window=np.array([80.0, 0.0, 400.0, 320.0]))
    assert move_targets(batch.targets, [plan], SIZE).labels.tolist() == [[2]]


def test_original_sizes_and_ids_stay() -> None:
    batch = _batch(3)
    augmented = BatchAugmenter(EVERYTHING, INPUT, seed=0)(batch, epoch=0)
    assert torch.equal(augmented.image_ids, batch.image_ids)
    assert torch.equal(augmented.original_sizes, batch.original_sizes)
