"""Overlaps among a digest's boxes, vectorised over the batch."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cascade_exit.model import Digest, label_probabilities

NMS_IOU = 0.5


class TopBoxes(NamedTuple):
    """A digest's anchors, each with its best class, and how much each weighs once overlaps are taken out.

    Attributes:
        boxes: xyxy in input pixels.
        labels: best class of the anchor, 1-based.
        scores: its probability; 0 where a better box of the class overlaps this one by more than NMS_IOU.
    """

    boxes: Float[Tensor, "batch best 4"]
    labels: Int[Tensor, "batch best"]
    scores: Float[Tensor, "batch best"]


def class_probabilities(digest: Digest) -> Float[Tensor, "batch best class_"]:
    """Softmax of the digest's logits, without the background."""
    return label_probabilities(digest.logits)[..., 1:]


def anchor_scores(digest: Digest) -> Float[Tensor, "batch best"]:
    """Probability of each anchor's best class."""
    return class_probabilities(digest).amax(dim=-1)


def pairwise_iou(
    boxes: Float[Tensor, "batch one 4"], others: Float[Tensor, "batch two 4"]
) -> Float[Tensor, "batch one two"]:
    """Overlap of every box with every other of the same image; 0 where either has no area."""
    corner = torch.minimum(boxes[:, :, None, 2:], others[:, None, :, 2:])
    side = (corner - torch.maximum(boxes[:, :, None, :2], others[:, None, :, :2])).clamp(min=0)
    shared = side[..., 0] * side[..., 1]
    union = _area(boxes)[:, :, None] + _area(others)[:, None, :] - shared
    return torch.where(shared > 0, shared / union, 0)


def top_boxes(digest: Digest) -> TopBoxes:
    """A digest's boxes after greedy non-maximum suppression within each class."""
    scores, labels = class_probabilities(digest).max(dim=-1)
    place = torch.arange(scores.shape[1], device=scores.device)
    ahead = scores[:, None, :] > scores[:, :, None]
    ahead |= (scores[:, None, :] == scores[:, :, None]) & (place[None, :] < place[:, None])
    beaten_by = ahead & (labels[:, :, None] == labels[:, None, :])
    beaten_by &= pairwise_iou(digest.boxes, digest.boxes) > NMS_IOU
    return TopBoxes(digest.boxes, labels + 1, scores * _kept(beaten_by))


def _area(boxes: Tensor) -> Tensor:
    side = boxes[..., 2:] - boxes[..., :2]
    return side[..., 0] * side[..., 1]


def _kept(beaten_by: Bool[Tensor, "batch best best"]) -> Bool[Tensor, "batch best"]:
    """Boxes that greedy suppression keeps: those that no kept box beats.

    The answer is the only one that fits itself. Each round settles at least the best box that is still open, so
    rounds are as many as the longest chain of boxes that beat one another: a handful, where greedy steps are 100.
    """
    kept = torch.ones(beaten_by.shape[:2], dtype=torch.bool, device=beaten_by.device)
    for _ in range(beaten_by.shape[1]):
        now = ~(beaten_by & kept[:, None, :]).any(dim=-1)
        if torch.equal(now, kept):
            break
        kept = now
    return kept
