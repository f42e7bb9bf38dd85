"""SSD box coding (Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, eq. 2)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# SSD divides the regression targets by these so that they have about unit variance.
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
# exp() of a size delta is capped at 1000/16 so that an untrained network cannot overflow (as Detectron does).
MAX_LOG_SIZE = math.log(1000.0 / 16)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    top_left, bottom_right = boxes.chunk(2, dim=-1)
    size = bottom_right - top_left
    return top_left.add(size, alpha=0.5), size


def encode_boxes(
    boxes_xyxy: Float[Tensor, "*batch anchor 4"], anchors_xyxy: Float[Tensor, "anchor 4"]
) -> Float[Tensor, "*batch anchor 4"]:
    """Codes boxes as offsets against anchors.

    Args:
        boxes_xyxy: one box per anchor, input pixels; sizes must be positive.
        anchors_xyxy: anchors, input pixels.

    Returns:
        Deltas (dx, dy, dw, dh), divided by the SSD variances.
    """
    box_centre, box_size = _centre_size(boxes_xyxy)
    anchor_centre, anchor_size = _centre_size(anchors_xyxy)
    centre = (box_centre - anchor_centre) / anchor_size / CENTRE_VARIANCE
    size = torch.log(box_size / anchor_size) / SIZE_VARIANCE
    return torch.cat([centre, size], dim=-1)


def decode_boxes(
    deltas: Float[Tensor, "*batch anchor 4"], anchors_xyxy: Float[Tensor, "*anchors anchor 4"]
) -> Float[Tensor, "*batch anchor 4"]:
    """Inverse of `encode_boxes`.

    Args:
        deltas: offsets against the anchors.
        anchors_xyxy: anchors, input pixels; leading dimensions broadcast against those of `deltas`.

    Returns:
        Boxes xyxy in input pixels, not clipped.
    """
    # In few operations: for the anchors of one small image, each costs more than its arithmetic.
    anchor_centre, anchor_size = _centre_size(anchors_xyxy)
    centre_deltas, size_deltas = deltas.chunk(2, dim=-1)
    centre = torch.addcmul(anchor_centre, centre_deltas, anchor_size, value=CENTRE_VARIANCE)
    size = (size_deltas * SIZE_VARIANCE).clamp(max=MAX_LOG_SIZE).exp() * anchor_size
    return torch.cat([centre.sub(size, alpha=0.5), centre.add(size, alpha=0.5)], dim=-1)
