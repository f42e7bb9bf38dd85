"""Which anchor answers for which object (Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_area, box_iou

from cascade_exit.data.batch import Targets

BACKGROUND = -1
IGNORED = -2
# COCO's evaluation excuses a detection from counting as false when at least this share of it lies in a crowd box.
CROWD_SHARE = 0.5


@torch.no_grad()
def match_anchors(
    targets: Targets, anchors: Float[Tensor, "anchor 4"], iou_threshold: float
) -> Int[Tensor, "batch anchor"]:
    """Matches anchors to objects by IoU, for all images at once.

    An anchor takes the object that it overlaps most if their IoU reaches the threshold (the first of equals). Every
    object takes its best anchor (the first of equals) besides, whatever their IoU; where several objects want the same
    anchor, the last one gets it. These are the rules of torchvision's `SSDMatcher`.

    Args:
        targets: objects, padded; padding and crowd boxes are never matched.
        anchors: xyxy in input pixels.
        iou_threshold: in (0, 1].

    Returns:
        Row of the matched object in `targets`, `BACKGROUND`, or `IGNORED` for anchors that are matched to none and lie
        at least by half in a crowd box.
    """
    batch, objects = targets.labels.shape
    if objects == 0:
        return torch.full((batch, len(anchors)), BACKGROUND, device=anchors.device)
    matchable = (targets.labels > 0) & ~targets.crowd
    iou = box_iou(targets.boxes.flatten(0, 1), anchors).view(batch, objects, len(anchors))
    iou = iou.where(matchable[:, :, None], 0.0)
    best_iou, best_object = iou.max(dim=1)
    matches = best_object.where(best_iou >= iou_threshold, BACKGROUND)
    forced = _best_anchor_matches(iou, matchable)
    matches = forced.where(forced >= 0, matches)
    ignored = (matches == BACKGROUND) & _in_crowd(targets, anchors)
    return matches.masked_fill(ignored, IGNORED)


def _best_anchor_matches(iou: Float[Tensor, "batch object anchor"], matchable: Tensor) -> Int[Tensor, "batch anchor"]:
    batch, objects, anchors = iou.shape
    best_anchor = iou.argmax(dim=2)
    rows = torch.arange(objects, device=iou.device).where(matchable, BACKGROUND)
    nothing = torch.full((batch, anchors), BACKGROUND, device=iou.device)
    # The largest row wins, in any order of execution; plain index assignment leaves duplicates open on a GPU.
    return nothing.scatter_reduce(1, best_anchor, rows, reduce="amax")


def _in_crowd(targets: Targets, anchors: Float[Tensor, "anchor 4"]) -> Tensor:
    boxes = targets.boxes[:, :, None]
    size = torch.minimum(boxes[..., 2:], anchors[:, 2:]) - torch.maximum(boxes[..., :2], anchors[:, :2])
    inside = size.clamp(min=0).prod(dim=-1)
    return ((inside >= CROWD_SHARE * box_area(anchors)) & targets.crowd[:, :, None]).any(dim=1)
