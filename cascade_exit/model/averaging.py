"""Detections whose scores are averaged with what the exit before says of their places (late fusion)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from cascade_exit.model.probabilities import label_probabilities

# Share of the exit before in the average, and the overlaps between which its say rises from nothing to all of that.
# Chosen by AP on val and calibrate: 0.2 to 0.4 and ramps from 0.5-1 to 0.7-0.9 differ by less than chance.
EARLIER_SHARE = 0.3
NO_SAY_IOU, FULL_SAY_IOU = 0.6, 0.9


def average_with_earlier(
    boxes: Float[Tensor, "detection 4"],
    logits: Float[Tensor, "detection label"],
    labels: Int[Tensor, " detection"],
    earlier_boxes: Float[Tensor, "best 4"],
    earlier_logits: Float[Tensor, "best label"],
) -> tuple[Float[Tensor, " detection"], Float[Tensor, "detection label"]]:
    """Scores and logits of one image's detections when an earlier exit has a say in them.

    A detection is compared with the earlier exit's anchor that supports it most: the one with the largest product of
    the probability of the detection's label and how well the boxes agree. What that anchor says, fading into background
    as the boxes disagree, is averaged with what the detection's own anchor says. The score changes steadily with
    the boxes: there is no overlap at which it jumps.

    Args:
        boxes: of the detections, xyxy in the same pixels as `earlier_boxes`.
        logits: of the anchors that the detections came from; label 0 is background.
        labels: of the detections, 1-based.
        earlier_boxes: of the earlier exit's best anchors (its digest).
        earlier_logits: of the same anchors.

    Returns:
        Scores, in the order of the detections, and the logarithms of the averaged probabilities, whose softmax
        gives these scores.
    """
    earlier = label_probabilities(earlier_logits)
    # Two boxes without area, such as lie beyond the image's edge and were cut off, have no overlap that is a number.
    overlap = box_iou(boxes, earlier_boxes).nan_to_num(nan=0.0)
    agreement = ((overlap - NO_SAY_IOU) / (FULL_SAY_IOU - NO_SAY_IOU)).clamp(0, 1)
    best = (agreement * earlier[:, labels].T).argmax(dim=1)
    say = agreement.gather(1, best[:, None])
    background = torch.zeros_like(earlier[0])
    background[0] = 1
    probability = label_probabilities(logits).lerp(background.lerp(earlier[best], say), EARLIER_SHARE)
    averaged = probability.clamp(min=torch.finfo(probability.dtype).tiny).log()
    # Of the logarithms, not of the average itself: calibration starts from them and must find the same scores.
    return label_probabilities(averaged).gather(1, labels[:, None])[:, 0], averaged
