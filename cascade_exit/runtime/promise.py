"""Whether a runner did what the trace of its model promised."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torchvision.ops import box_iou

from cascade_exit.evaluation import DetectionArrays
from cascade_exit.model import DecodingConfig
from cascade_exit.policies import Policy
from cascade_exit.policies.operating_points import Values, rule_values
from cascade_exit.policies.pooling import calibrated_scores
from cascade_exit.runs import UserError
from cascade_exit.runtime.runner import Stopped
from cascade_exit.trace import Trace

NEAR_THRESHOLD = 1e-4
BOX_PX = 0.01
SCORE = 1e-5
# An average moves with its boxes: by up to one over their side for each pixel.
AVERAGED_SCORE = 1e-4
# Two boxes of a class that are less apart are one box that differs.
SWAPPED_PX = 2.0
# So many detections of an image may be another selection of NMS: of two overlapping boxes with nearly the same score
# another comes first, and suppresses others. And how near an overlap may be to the limit of NMS.
MOST_RESELECTED, NEAR_IOU = 6, 0.01
# Such images are rare: one in so many; where there are more, boxes differ for another reason.
IMAGES_PER_RESELECTED = 20

# A detection of one side alone: the side, and its place there.
Alone = tuple[DetectionArrays, int]


@dataclass(frozen=True)
class Kept:
    """How a promise was kept.

    Attributes:
        images: compared.
        exits_equal: images that stopped where the trace says.
        near_threshold: images that stopped elsewhere because a rule's value is within 1e-4 of its threshold.
        detections: compared.
        cut_off: detections of one side alone: their score is within 1e-5 of the lowest that is kept, or NMS chose among
            overlapping boxes of nearly the same score; where scores are averaged with an earlier exit's, also one of
            each side whatever its score.
        max_box_difference_px: over all coordinates of all boxes that both sides have.
    """

    images: int
    exits_equal: int
    near_threshold: int
    detections: int
    cut_off: int
    max_box_difference_px: float


def check_promise(
    policy: Policy,
    trace: Trace,
    places: Int[np.ndarray, " photo"],
    stopped: Sequence[Stopped],
    averaged: Collection[str] = (),
    nms_iou: float = DecodingConfig().nms_iou,
) -> Kept:
    """Compares what a runner did with what the trace says that it does.

    Args:
        policy: of the runner.
        trace: of its model, on the set.
        places: of the photos in the trace.
        stopped: the runner's answers to them.
        averaged: exits whose scores an earlier exit has a say in.
        nms_iou: overlap above which NMS drops the weaker box of a class.

    Raises:
        UserError: an image stopped elsewhere without being near a threshold, or gave other boxes.
    """
    choice = policy.choose(trace).tolist()
    pairs = list(zip(places.tolist(), stopped, strict=True))
    values = rule_values(trace, policy.rules, policy.calibration)
    elsewhere = [one.exit_index != choice[place] for place, one in pairs]
    for (place, one), other in zip(pairs, elsewhere, strict=True):
        if other and not _near_threshold(policy, trace, values, place, min(one.exit_index, choice[place])):
            raise UserError(
                f"image {trace.truth[place].image_id}: the runner stopped at {one.exit_name}, the trace says "
                f"{trace.header.exit_names[choice[place]]}; make the trace anew (`trace` with force=true)"
            )
    differences = [_compare(policy, trace, place, one, one.exit_name in averaged, nms_iou) for place, one in pairs]
    reselected = sum(again for _, _, again in differences)
    if reselected > max(1, len(stopped) // IMAGES_PER_RESELECTED):
        raise UserError(
            f"{reselected} of {len(stopped)} images: the runner's answer and the trace differ in boxes that overlap; "
            "make the trace anew (`trace` with force=true)"
        )
    return Kept(
        images=len(stopped),
        exits_equal=len(stopped) - sum(elsewhere),
        near_threshold=sum(elsewhere),
        detections=sum(len(one.detections.scores) for one in stopped),
        cut_off=sum(cut for _, cut, _ in differences),
        max_box_difference_px=max((difference for difference, _, _ in differences), default=0.0),
    )


def _near_threshold(policy: Policy, trace: Trace, values: Values, place: int, exit_index: int) -> bool:
    name = trace.header.exit_names[exit_index]
    return name in values and bool(abs(values[name][place] - policy.rules[name].threshold) < NEAR_THRESHOLD)


def _compare(
    policy: Policy, trace: Trace, place: int, one: Stopped, averaged: bool, nms_iou: float
) -> tuple[float, int, bool]:
    """Largest difference of a coordinate, detections of one side alone, whether NMS may have chosen otherwise."""
    table = trace.exits[one.exit_name].detections
    rows = slice(table.offsets[place], table.offsets[place + 1])
    scores = calibrated_scores(table, policy.calibration.get(one.exit_name))[rows]
    promised = DetectionArrays(table.boxes[rows], scores, table.labels[rows])
    found = DetectionArrays.from_tensors(one.detections)
    return _difference(promised, found, f"image {trace.truth[place].image_id}, {one.exit_name}", averaged, nms_iou)


def _difference(
    promised: DetectionArrays, found: DetectionArrays, where: str, averaged: bool, nms_iou: float
) -> tuple[float, int, bool]:
    distance = np.abs(promised.boxes[:, None] - found.boxes[None]).max(axis=-1, initial=0.0)
    tolerance = AVERAGED_SCORE if averaged else SCORE
    score_distance = np.abs(promised.scores[:, None] - found.scores[None])
    alike = (promised.labels[:, None] == found.labels[None]) & (score_distance < tolerance) & (distance <= BOX_PX)
    alone = [
        (side, place)
        for side, pairs in ((promised, alike), (found, alike.T))
        for place in np.flatnonzero(~pairs.any(axis=1)).tolist()
    ]
    missed = [(side, place) for side, place in alone if not _cut_off(side, place, promised, tolerance)]
    reselected = bool(missed) and _reselected(missed, alone, nms_iou, tolerance)
    if missed and not reselected and not (averaged and _swapped(missed)):
        side, place = missed[0]
        raise UserError(
            f"{where}: a box of label {side.labels[place]} with score {side.scores[place]:.4f} is not in both the "
            "runner's answer and the trace; make the trace anew (`trace` with force=true)"
        )
    return float(distance[alike].max(initial=0.0)), len(alone), reselected


def _reselected(missed: Sequence[Alone], alone: Sequence[Alone], nms_iou: float, tolerance: float) -> bool:
    """Whether detections of one side alone follow from two overlapping ones with nearly the same score.

    NMS keeps the one that rounding puts first. So each has one on the other side that may have suppressed it: of its
    class, overlapping, and not weaker. For the strongest of all, that is one with nearly the same score.
    """
    return len(missed) <= MOST_RESELECTED and all(
        any(
            other is not side
            and other.labels[rival] == side.labels[place]
            and other.scores[rival] >= side.scores[place] - tolerance
            and np.abs(other.boxes[rival] - side.boxes[place]).max() > SWAPPED_PX
            and box_iou(*(torch.tensor(of.boxes[[at]]) for of, at in ((side, place), (other, rival))))
            > nms_iou - NEAR_IOU
            for other, rival in alone
        )
        for side, place in missed
    )


def _swapped(missed: Sequence[Alone]) -> bool:
    """Whether each side kept another detection as its last, rather than one that differs.

    What is kept is decided by scores before the average, so that the score now does not tell that it was the last.
    """
    if len(missed) != 2 or missed[0][0] is missed[1][0]:
        return False
    (one, place), (other, other_place) = missed
    same_label = one.labels[place] == other.labels[other_place]
    return not same_label or bool(np.abs(one.boxes[place] - other.boxes[other_place]).max() > SWAPPED_PX)


def _cut_off(side: DetectionArrays, place: int, promised: DetectionArrays, tolerance: float) -> bool:
    """Whether rounding may have decided that a detection is kept: its score is nearly the last one's."""
    return bool(side.scores[place] <= promised.scores.min(initial=1.0) + tolerance)
