"""SSD's loss of one exit (Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, eq. 1 to 3)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from cascade_exit.data.batch import Targets
from cascade_exit.losses.config import FocalConfig
from cascade_exit.losses.distributed import share_of_total
from cascade_exit.losses.focal import focal_loss
from cascade_exit.losses.matching import BACKGROUND
from cascade_exit.losses.precision import at_least_float32
from cascade_exit.model.boxes import encode_boxes
from cascade_exit.model.output import ExitOutput


def multibox_loss(
    output: ExitOutput,
    matches: Int[Tensor, "batch anchor"],
    targets: Targets,
    anchors: Float[Tensor, "anchor 4"],
    negatives_per_positive: float = 3.0,
    negatives_per_empty_image: int = 0,
    focal: FocalConfig | None = None,
    label_weights: Float[Tensor, " label"] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Cross entropy with hard-negative mining (or focal loss), and smooth L1 on the coded boxes.

    Both are divided by the number of positive anchors in the batch (at least 1), over all processes under DDP. With
    `negatives_per_empty_image=0`, and the last two left out, the values are those of torchvision's `SSD.compute_loss`,
    except that a positive anchor is never counted a second time as a negative where negatives run out.

    Args:
        output: answer of the exit.
        matches: from `match_anchors`, for the same targets and anchors.
        targets: objects, padded.
        anchors: xyxy in input pixels.
        negatives_per_positive: background anchors that count per positive anchor of the same image, hardest first.
        negatives_per_empty_image: background anchors that count in an image without positive anchors.
        focal: focal loss instead, for which all background anchors count.
        label_weights: factor on the classification loss of positive anchors, by label; none: 1.

    Returns:
        Scalars "classification" and "localization".
    """
    positive = matches >= 0
    labels, boxes = _targets_of_anchors(matches, targets, anchors)
    logits, deltas = at_least_float32(output.class_logits), at_least_float32(output.box_deltas)
    if focal is None:
        each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        wanted = _negatives_wanted(positive, negatives_per_positive, negatives_per_empty_image)
        negatives = _hardest(each, matches == BACKGROUND, wanted)
    else:
        each = focal_loss(logits, labels, focal.gamma, focal.alpha)
        negatives = _sum_where(matches == BACKGROUND, each)
    if label_weights is not None:
        each = each * label_weights.to(each)[labels]
    smooth_l1 = F.smooth_l1_loss(deltas, encode_boxes(boxes, anchors), reduction="none").sum(dim=-1)
    positives = share_of_total(positive.sum().to(logits.dtype), at_least=1.0)
    return {
        "classification": (_sum_where(positive, each) + negatives) / positives,
        "localization": _sum_where(positive, smooth_l1) / positives,
    }


def _targets_of_anchors(
    matches: Int[Tensor, "batch anchor"], targets: Targets, anchors: Float[Tensor, "anchor 4"]
) -> tuple[Int[Tensor, "batch anchor"], Float[Tensor, "batch anchor 4"]]:
    """Label and box that each anchor should answer with: background and the anchor itself where it has no object."""
    positive = matches >= 0
    # One row of padding more: there is always a row to read, even in a batch without any object.
    labels, boxes = F.pad(targets.labels, (0, 1)), F.pad(targets.boxes, (0, 0, 0, 1))
    row = matches.where(positive, targets.labels.shape[1])
    matched_boxes = boxes.gather(1, row[..., None].expand(-1, -1, 4))
    return labels.gather(1, row), matched_boxes.where(positive[..., None], anchors)


def _negatives_wanted(
    positive: Bool[Tensor, "batch anchor"], per_positive: float, per_empty_image: int
) -> Float[Tensor, "batch 1"]:
    positives = positive.sum(dim=1, keepdim=True)
    return (per_positive * positives.float()).where(positives > 0, float(per_empty_image))


def _hardest(
    cross_entropy: Float[Tensor, "batch anchor"],
    candidate: Bool[Tensor, "batch anchor"],
    wanted: Float[Tensor, "batch 1"],
) -> Float[Tensor, ""]:
    """Sum over the batch of the `wanted` largest losses among each image's candidates."""
    hardest = cross_entropy.masked_fill(~candidate, -torch.inf).sort(dim=1, descending=True).values
    rank = torch.arange(hardest.shape[1], device=hardest.device)
    return _sum_where((rank < wanted) & (hardest > -torch.inf), hardest)


def _sum_where(mask: Bool[Tensor, "batch anchor"], values: Float[Tensor, "batch anchor"]) -> Float[Tensor, ""]:
    # Not values * mask: 0 * inf would let one overflowing anchor that does not count spoil the sum.
    return values.where(mask, 0.0).sum()
