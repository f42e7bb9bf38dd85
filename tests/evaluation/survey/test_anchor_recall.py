"""Recall against boxes of which it is known, against IoU written out, and against the matcher of training."""

import numpy as np
import pytest
import torch

from cascade_exit.data import InputConfig
from cascade_exit.data.batch import pad_targets
from cascade_exit.evaluation import ImageTruth
from cascade_exit.evaluation.survey import anchor_fits, sample_boxes, search_scales, unbeaten
from cascade_exit.evaluation.survey.scale_search import scale_family
from cascade_exit.losses import match_anchors
from cascade_exit.model import AnchorGrid, ModelConfig

INPUT = InputConfig(size_px=96)


def boxes(count: int, size_px: int = 96, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=rng).sort(dim=1).values * (size_px - 8)
    corners[:, 1] += 8
    return corners.flatten(1)


def truth(corners: torch.Tensor, crowd: bool = False, width: int = 96, height: int = 96) -> ImageTruth:
    areas = (corners[:, 2:] - corners[:, :2]).prod(dim=1)
    return ImageTruth(
        image_id=1,
        width=width,
        height=height,
        boxes=corners.numpy(),
        labels=np.ones(len(corners), np.int64),
        crowd=np.full(len(corners), crowd),
        areas=areas.numpy(),
    )


def test_iou_written_out() -> None:
    anchors, some = AnchorGrid(96).boxes, boxes(20)
    fits = anchor_fits(some, anchors, [0.4, 0.5])
    for place, (x1, y1, x2, y2) in enumerate(some.tolist()):
        ious = []
        for left, top, right, bottom in anchors.tolist():
            shared = max(0, min(x2, right) - max(x1, left)) * max(0, min(y2, bottom) - max(y1, top))
            ious.append(shared / ((x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - shared))
        assert fits.best_iou[place] == pytest.approx(max(ious), abs=1e-5)
        for iou in (0.4, 0.5):
            assert fits.anchors[iou][place] == sum(each >= iou for each in ious)


def test_anchors_cover_themselves() -> None:
    anchors = AnchorGrid(96).boxes
    fit = anchor_fits(anchors[::7], anchors, [1 - 1e-5]).of(1 - 1e-5)
    assert fit is not None
    assert fit.recall == 1
    assert fit.iou_quantiles == pytest.approx((1, 1, 1), abs=1e-5)


def test_the_matcher_of_training_gives_a_lone_box_the_anchors_that_are_counted() -> None:
    anchors, some = AnchorGrid(96).boxes, boxes(60, seed=1)
    fits = anchor_fits(some, anchors, [0.5])
    one, no = torch.ones(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool)
    targets = pad_targets([box[None] for box in some], [one] * 60, [no] * 60)
    matched = (match_anchors(targets, anchors, 0.5) >= 0).sum(dim=1).numpy()
    # A box without such an anchor still gets its best one.
    np.testing.assert_array_equal(matched, np.maximum(fits.anchors[0.5], 1))
    fit = fits.of(0.5)
    assert fit is not None
    assert fit.recall == np.mean(fits.anchors[0.5] > 0)
    assert 0 < fit.recall < 1
    assert fits.of(0.5, np.zeros(60, bool)) is None


def test_boxes_are_those_that_the_network_is_shown() -> None:
    wide = truth(torch.tensor([[0.0, 0.0, 96.0, 24.0]]), width=192, height=48)
    shown = sample_boxes([wide, truth(boxes(3), crowd=True)], INPUT)
    assert shown.boxes.tolist() == [[0, 0, 48, 48]]
    letterboxed = sample_boxes([wide], InputConfig(size_px=96, resize="letterbox"))
    assert letterboxed.boxes.tolist() == [[0, 36, 48, 48]]
    # By stored pixels: 96 x 24 = 2,304 are medium.
    assert shown.sizes.tolist() == [1]


def test_fewer_boxes_are_spread_over_all() -> None:
    sample = sample_boxes([truth(boxes(101))], INPUT)
    assert sample.spread(1000) is sample
    assert torch.equal(sample.spread(11).boxes, sample.boxes[::10])


def test_scales_of_small_boxes_are_found() -> None:
    corners = torch.rand(200, 2, generator=torch.Generator().manual_seed(2)) * 280
    sample = sample_boxes([truth(torch.cat([corners, corners + 34], dim=1), width=320, height=320)], InputConfig())
    current = AnchorGrid(320).scales
    trials = search_scales(sample, InputConfig(), current, 0.5)
    assert trials[0].scales == current
    front = unbeaten(trials, 0.5)
    recalls, anchors = ([getattr(trial.fits.of(0.5), key) for trial in front] for key in ("recall", "anchors_per_box"))
    # 34 px of 320 are a scale of 0.106; each level has squares of its scale, and between it and the next.
    assert front[0].scales[0] in (0.08, 0.1, 0.12)
    assert recalls[0] > 0.9 > 0.5 > trials[0].fits.of(0.5).recall
    assert recalls == sorted(recalls, reverse=True)
    assert anchors == sorted(anchors)
    for trial in trials:
        fit = trial.fits.of(0.5)
        beaten = any(r >= fit.recall and a >= fit.anchors_per_box for r, a in zip(recalls, anchors, strict=True))
        assert beaten or trial in front


def test_every_scale_that_is_tried_can_be_asked_for() -> None:
    family = scale_family(6)
    assert AnchorGrid(320).scales == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0])
    assert (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0) in family
    for scales in family:
        assert ModelConfig(anchor_scales=scales).anchor_scales == scales
        assert list(scales) == sorted(scales)
