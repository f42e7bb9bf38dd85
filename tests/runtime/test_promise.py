"""A runner's answers held against the trace, as they are and bent."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cascade_exit.evaluation import DetectionArrays
from cascade_exit.model import Detections
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError
from cascade_exit.runtime.promise import _difference, check_promise
from cascade_exit.runtime.runner import Runner, Stopped
from tests.runtime.cascades import IMAGES, detector, pictures, policy, trace

PLACES = np.arange(IMAGES)


def half_stop(offset: float = 0.0) -> dict[str, ThresholdRule]:
    values = np.sort(STATISTICS["mid_scores"](trace().exits["exit1"].digest, None).double().numpy())
    return {"exit1": ThresholdRule("mid_scores", float(values[15:17].mean()) + offset)}


def answers(a_policy: Policy) -> list[Stopped]:
    return Runner(detector(), a_policy).detect_batch(pictures())


def test_a_promise_that_is_kept():
    a_policy = policy(half_stop())
    kept = check_promise(a_policy, trace(), PLACES, answers(a_policy))
    assert (kept.images, kept.exits_equal, kept.near_threshold, kept.cut_off) == (IMAGES, IMAGES, 0, 0)
    assert kept.max_box_difference_px < 0.01
    assert kept.detections == sum(len(one.detections.scores) for one in answers(a_policy))


def test_calibrated_scores_are_compared():
    calibrated = policy(half_stop(), calibration={"full": ExitCalibration(1.0, ((0.0, 0.0), (1.0, 0.5)))})
    assert check_promise(calibrated, trace(), PLACES, answers(calibrated)).exits_equal == IMAGES
    with pytest.raises(UserError, match="not in both"):
        check_promise(calibrated, trace(), PLACES, answers(policy(half_stop())))


def test_some_of_the_photos():
    a_policy = policy(half_stop())
    some = np.array([3, 7, 20])
    stopped = answers(a_policy)
    assert check_promise(a_policy, trace(), some, [stopped[place] for place in some]).images == 3
    with pytest.raises(UserError):
        check_promise(a_policy, trace(), some, stopped[:3])


def bent(stopped: list[Stopped], place: int, **changes) -> list[Stopped]:
    found = stopped[place].detections
    parts = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels} | changes
    return [*stopped[:place], replace(stopped[place], detections=Detections(**parts)), *stopped[place + 1 :]]


def test_other_boxes_scores_and_labels_are_refused():
    a_policy = policy(half_stop())
    stopped = answers(a_policy)
    found = stopped[4].detections
    first = torch.zeros(len(found.scores))
    first[0] = 1
    within = bent(stopped, 4, boxes=found.boxes + 0.009)
    kept = check_promise(a_policy, trace(), PLACES, within)
    assert kept.max_box_difference_px == pytest.approx(0.009, abs=1e-4)
    for changes in (
        {"boxes": found.boxes + 0.02 * first[:, None]},
        {"scores": found.scores + 1e-3 * first},
        {"labels": torch.where(first > 0, 3 - found.labels, found.labels)},
        {"boxes": found.boxes[1:], "scores": found.scores[1:], "labels": found.labels[1:]},
    ):
        with pytest.raises(UserError, match=r"image 4, .*: a box of label \d with score"):
            check_promise(a_policy, trace(), PLACES, bent(stopped, 4, **changes))


def test_what_the_limit_of_detections_cuts_off_is_counted():
    a_policy = policy(half_stop())
    stopped = answers(a_policy)
    found = stopped[4].detections
    fewer = bent(stopped, 4, boxes=found.boxes[:-1], scores=found.scores[:-1], labels=found.labels[:-1])
    assert check_promise(a_policy, trace(), PLACES, fewer).cut_off == 1


def test_where_scores_are_averaged_each_side_may_have_kept_another_last_one():
    a_policy = policy(half_stop())
    stopped = answers(a_policy)
    found = stopped[4].detections
    last = torch.zeros(len(found.scores))
    last[3] = 1  # its score, once averaged, is not the lowest
    elsewhere = bent(stopped, 4, boxes=found.boxes + 40 * last[:, None])
    another = bent(stopped, 4, labels=torch.where(last > 0, 3 - found.labels, found.labels))
    exits = ("exit1", "full")
    for swapped in (elsewhere, another):
        with pytest.raises(UserError, match="not in both"):
            check_promise(a_policy, trace(), PLACES, swapped)
        assert check_promise(a_policy, trace(), PLACES, swapped, exits).cut_off == 2
    moved = bent(stopped, 4, boxes=found.boxes + 1.0 * last[:, None])
    last[5] = 1
    two = bent(stopped, 4, boxes=found.boxes + 40 * last[:, None])
    missing = bent(stopped, 4, boxes=found.boxes[1:], scores=found.scores[1:], labels=found.labels[1:])
    for wrong in (moved, two, missing):
        with pytest.raises(UserError, match="not in both"):
            check_promise(a_policy, trace(), PLACES, wrong, exits)


def test_another_exit_is_refused_unless_the_value_is_on_the_threshold():
    a_policy = policy(half_stop())
    values = STATISTICS["mid_scores"](trace().exits["exit1"].digest, None).double().numpy()
    place = int(np.argsort(values)[16])
    # The least sure picture that stops: a threshold just above its value sends it on.
    nearly = policy({"exit1": ThresholdRule("mid_scores", float(values[place]) + 5e-5)})
    clearly = policy({"exit1": ThresholdRule("mid_scores", float(values[place]) + 2e-4)})
    stopped = answers(a_policy)
    others = np.delete(PLACES, np.flatnonzero((values > values[place]) & (values < values[place] + 3e-4)))
    chosen = [stopped[one] for one in others]
    kept = check_promise(nearly, trace(), others, chosen)
    assert (kept.near_threshold, kept.exits_equal) == (1, len(others) - 1)
    with pytest.raises(UserError, match=f"image {place}: the runner stopped at exit1, the trace says full"):
        check_promise(clearly, trace(), others, chosen)


def test_boxes_that_move_in_many_images_are_no_choice_of_nms():
    a_policy = policy(half_stop())
    stopped = answers(a_policy)
    moved = [places for places in range(IMAGES) if len(stopped[places].detections.scores)][:2]
    for count, place in enumerate(moved, start=1):
        boxes = stopped[place].detections.boxes.clone()
        boxes[0, ::2] += 2.5
        stopped = bent(stopped, place, boxes=boxes)
        if count == 1:
            assert check_promise(a_policy, trace(), PLACES, stopped).cut_off == 2
    with pytest.raises(UserError, match=f"2 of {IMAGES} images: .* boxes that overlap"):
        check_promise(a_policy, trace(), PLACES, stopped)


def test_nms_may_choose_among_overlapping_boxes_of_nearly_the_same_score():
    boxes = torch.tensor([[0.0, 0, 40, 40], [10, 0, 50, 40], [20, 0, 60, 40], [200, 200, 240, 240]])
    scores, labels = torch.tensor([0.5, 0.499999, 0.3, 0.2]), torch.ones(4, dtype=torch.long)

    def check(one: list[int], other: list[int], **changes) -> int:
        """What NMS made of the boxes on each side, or of changed ones on the other."""
        parts = {"boxes": boxes, "scores": scores, "labels": labels}
        sides = [{k: v[rows] for k, v in each.items()} for each, rows in ((parts, one), (parts | changes, other))]
        where = [DetectionArrays(*(side[k].numpy() for k in ("boxes", "scores", "labels"))) for side in sides]
        return _difference(*where, "image 4, full", False, 0.55)[1]

    # The first suppresses the second (IoU 0.6), which else would have suppressed the third.
    assert check([0, 2, 3], [1, 3]) == check([1, 3], [0, 2, 3]) == 3
    clear = torch.tensor([0.5, 0.49, 0.3, 0.2])
    for change in (
        {"scores": clear},  # rounding moves no score so far
        {"labels": torch.tensor([2, 2, 2, 1])},
        {"boxes": boxes + torch.tensor([[0.0], [20], [0], [0]])},  # too far apart
        {"boxes": boxes + torch.tensor([[0.0], [-9.9], [0], [0]])},  # one box that differs
    ):
        with pytest.raises(UserError, match="not in both"):
            check([0, 2, 3], [1, 3], **change)
    with pytest.raises(UserError, match="not in both"):
        check([0, 3], [1, 2, 3])  # nothing but the second could have suppressed the third
