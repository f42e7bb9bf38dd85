import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import box_iou
from torchvision.transforms import v2

from cascade_exit.data import AugmentConfig
from cascade_exit.data.augment_plan import AugmentPlan, contrast_matrices, draw_plan, hue_matrix, saturation_matrix

SIZE = 100
BOXES = np.array([[10, 10, 40, 50], [60, 20, 95, 90]], dtype=np.float32)


def _config(**changes: float) -> AugmentConfig:
    keys = ("flip", "zoom_out", "iou_crop", "photometric")
    return AugmentConfig(**{**{f"{key}_probability": 0.0 for key in keys}, **changes})


def _plans(config: AugmentConfig, count: int, boxes: np.ndarray = BOXES) -> list[AugmentPlan]:
    return [draw_plan(config, boxes, SIZE, np.random.default_rng(seed)) for seed in range(count)]


def test_no_probability_means_no_change() -> None:
    for plan in _plans(_config(), 5):
        assert plan.window.tolist() == [0, 0, SIZE, SIZE]
        assert not plan.flip
        assert (plan.of_pixel == np.eye(3)).all()
        assert (plan.of_mean == 0).all()


def test_flips_come_at_their_probability() -> None:
    flips = np.mean([plan.flip for plan in _plans(_config(flip_probability=0.25), 2000)])
    assert flips == pytest.approx(0.25, abs=0.04)


def test_zoom_out_windows_hold_the_whole_image_and_keep_its_shape() -> None:
    windows = np.stack([plan.window for plan in _plans(_config(zoom_out_probability=1.0, zoom_out_max=3.0), 300)])
    sides = windows[:, 2:] - windows[:, :2]
    assert (windows[:, :2] <= 0).all()
    assert (windows[:, 2:] >= SIZE).all()
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    assert sides.min() < 1.2 * SIZE
    assert 2.8 * SIZE < sides.max() <= 3 * SIZE


def test_crops_lie_in_the_image_and_overlap_an_object_whose_centre_they_hold() -> None:
    config = _config(iou_crop_probability=1.0, iou_crop_min_scale=0.3)
    windows = np.stack([plan.window for plan in _plans(config, 400)])
    sides = windows[:, 2:] - windows[:, :2]
    assert windows.min() >= 0
    assert windows.max() <= SIZE + 1e-9
    assert sides.min() >= 0.3 * SIZE - 1e-9
    assert (sides[:, 0] / sides[:, 1]).max() <= 2
    assert (sides[:, 0] / sides[:, 1]).min() >= 0.5
    centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    holds = ((centres > windows[:, None, :2]) & (centres < windows[:, None, 2:])).all(axis=2)
    assert holds.any(axis=1).all()


def test_crops_are_spread_as_torchvisions() -> None:
    ours = np.stack([plan.window for plan in _plans(_config(iou_crop_probability=1.0), 600)])
    image = tv_tensors.Image(torch.zeros(3, SIZE, SIZE, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(BOXES), format="XYXY", canvas_size=(SIZE, SIZE))
    crop, theirs = v2.RandomIoUCrop(), []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for _ in range(300):
            area = crop.make_params([image, boxes]) or {"left": 0, "top": 0, "width": SIZE, "height": SIZE}
            left, top = area["left"], area["top"]
            theirs.append([left, top, left + area["width"], top + area["height"]])
    for measure in (_best_iou, lambda windows: (windows == [0, 0, SIZE, SIZE]).all(axis=1), lambda windows: windows):
        first, second = measure(ours), measure(np.array(theirs, dtype=float))
        error = (first.var(axis=0) / len(first) + second.var(axis=0) / len(second)) ** 0.5
        # torchvision rounds to whole pixels: up to one pixel of difference.
        assert (np.abs(first.mean(axis=0) - second.mean(axis=0)) < 4 * error + (1 if first.ndim == 2 else 0)).all()


def _best_iou(windows: np.ndarray) -> np.ndarray:
    return box_iou(torch.from_numpy(windows), torch.from_numpy(BOXES).double()).numpy().max(axis=1)


def test_images_without_objects_are_cropped_too() -> None:
    plans = _plans(_config(iou_crop_probability=1.0), 50, boxes=np.zeros((0, 4), dtype=np.float32))
    assert len({tuple(plan.window) for plan in plans}) > 25


@pytest.mark.parametrize("turns", [-0.3, 0.05, 0.5])
def test_hue_keeps_luma_and_grey(turns: float) -> None:
    matrix = hue_matrix(turns)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma @ matrix, luma, atol=1e-5)
    np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3), atol=1e-4)
    np.testing.assert_allclose(matrix @ hue_matrix(-turns), np.eye(3), atol=1e-9)


def test_no_saturation_is_grey() -> None:
    np.testing.assert_allclose(
        saturation_matrix(0.0) @ [100, 50, 20], np.full(3, 0.299 * 100 + 0.587 * 50 + 0.114 * 20)
    )


def test_contrast_without_range_is_the_mean_luma_after_what_came_before() -> None:
    of_pixel, of_mean = contrast_matrices(np.diag([2.0, 1.0, 1.0]), np.zeros((3, 3)), 0.0)
    assert (of_pixel == 0).all()
    np.testing.assert_allclose(of_mean @ [10, 20, 30], np.full(3, 0.299 * 20 + 0.587 * 20 + 0.114 * 30))
