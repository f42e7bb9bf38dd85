"""What a teacher would say at a student's anchors, where the two have different ones."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import batched_nms

from cascade_exit.data.batch import Targets
from cascade_exit.losses.matching import match_anchors
from cascade_exit.losses.precision import at_least_float32
from cascade_exit.model.boxes import decode_boxes, encode_boxes
from cascade_exit.model.output import ExitOutput

# The teacher's detections are made of so many of its anchors, thinned out by NMS at SSDLite's overlap.
BEST_ANCHORS, NMS_IOU = 100, 0.55
# Logit of background where the teacher sees nothing: its foreground confidence is then below 1e-10.
NOTHING_LOGIT = 30.0
# A box with a shorter side cannot be coded safely.
SHORTEST_SIDE_PX = 1.0


@torch.no_grad()
def project(
    teacher: ExitOutput,
    teacher_anchors: Float[Tensor, "teacher_anchor 4"],
    anchors: Float[Tensor, "anchor 4"],
    matcher_iou: float,
) -> ExitOutput:
    """A teacher's answer on other anchors: its detections, matched to them as true boxes are.

    An anchor that is matched to a detection takes over its whole class distribution and its box; all others read
    background. Of detections that have the same best anchor, the most confident one gets it.

    Args:
        teacher: its answer on its own anchors.
        teacher_anchors: xyxy, pixels as of `anchors`.
        anchors: of the student, xyxy.
        matcher_iou: an anchor takes over a detection from this IoU on.

    Returns:
        An answer for each of `anchors`, in float32 at least.
    """
    logits, boxes, kept = _detections(teacher, teacher_anchors)
    # Least confident first: of several objects with the same best anchor, the matcher gives it to the last.
    logits, boxes, labels = logits.flip(1), boxes.flip(1), kept.long().flip(1)
    matches = match_anchors(Targets(boxes, labels, torch.zeros_like(labels, dtype=torch.bool)), anchors, matcher_iou)
    row, matched = matches.clamp(min=0)[..., None], (matches >= 0)[..., None]
    nothing = logits.new_zeros(logits.shape[-1])
    nothing[0] = NOTHING_LOGIT
    return ExitOutput(
        class_logits=logits.gather(1, row.expand(-1, -1, logits.shape[-1])).where(matched, nothing),
        box_deltas=encode_boxes(boxes.gather(1, row.expand(-1, -1, 4)).where(matched, anchors), anchors),
    )


def _detections(
    teacher: ExitOutput, anchors: Float[Tensor, "anchor 4"]
) -> tuple[Float[Tensor, "batch best label"], Float[Tensor, "batch best 4"], Tensor]:
    """Class logits and boxes of the teacher's best anchors, best first, and which of them NMS keeps.

    NMS is over all classes together: a detection brings its whole distribution along, so each place needs only one.
    """
    logits, deltas = at_least_float32(teacher.class_logits), at_least_float32(teacher.box_deltas)
    best_class = logits.softmax(dim=-1)[..., 1:].amax(dim=-1)
    confidence, place = best_class.topk(min(BEST_ANCHORS, len(anchors)), dim=1)
    boxes = decode_boxes(deltas.gather(1, place[..., None].expand(-1, -1, 4)), anchors[place])
    image = torch.arange(len(place), device=place.device)[:, None].expand_as(place)
    kept = torch.zeros_like(place, dtype=torch.bool)
    kept.view(-1)[batched_nms(boxes.flatten(0, 1), confidence.flatten(), image.flatten(), NMS_IOU)] = True
    kept &= (boxes[..., 2:] - boxes[..., :2] >= SHORTEST_SIDE_PX).all(dim=-1)
    return logits.gather(1, place[..., None].expand(-1, -1, logits.shape[-1])), boxes, kept
