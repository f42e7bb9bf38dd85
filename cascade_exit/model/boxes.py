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
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * size, size


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
    anchor_centre, anchor_size = _centre_size(anchors_xyxy)
    centre = deltas[..., :2] * CENTRE_VARIANCE * anchor_size + anchor_centre
    half = 0.5 * torch.exp((deltas[..., 2:] * SIZE_VARIANCE).clamp(max=MAX_LOG_SIZE)) * anchor_size
    return torch.cat([centre - half, centre + half], dim=-1)
