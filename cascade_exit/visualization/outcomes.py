"""What became of each box of one image, for colouring it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torchvision.ops import box_iou

from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth

IOU_TO_FIND = 0.5


@dataclass(frozen=True)
class Outcomes:
    """Of the boxes of one exit on one image.

    Attributes:
        right: the detection finds an object of its class that no better one found.
        on_crowd: the detection is not right, but lies in a crowd of its class, so that it counts neither way.
        missed: the object, not a crowd, was found by none.
    """

    right: Bool[np.ndarray, " detection"]
    on_crowd: Bool[np.ndarray, " detection"]
    missed: Bool[np.ndarray, " truth"]


def box_outcomes(truth: ImageTruth, found: DetectionArrays) -> Outcomes:
    """Matches boxes by score as COCO's evaluation does at IoU 0.5."""
    same_class = found.labels[:, None] == truth.labels[None]
    iou = box_iou(torch.as_tensor(found.boxes).double(), torch.as_tensor(truth.boxes).double()).numpy()
    iou = np.where(same_class & ~truth.crowd, iou, 0.0)
    inside = np.where(same_class & truth.crowd, _covered(found.boxes, truth.boxes), 0.0)
    right = np.zeros(len(found.labels), bool)
    missed = ~truth.crowd
    for index in np.argsort(-found.scores, kind="stable"):
        free = np.where(missed, iou[index], 0.0)
        if free.size and free.max() >= IOU_TO_FIND:
            right[index] = True
            missed[free.argmax()] = False
    return Outcomes(right, ~right & (inside >= IOU_TO_FIND).any(axis=1), missed)


def _covered(boxes: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Share of each box that lies in each other box."""
    corner = np.minimum(boxes[:, None, 2:], by[None, :, 2:])
    side = np.maximum(corner - np.maximum(boxes[:, None, :2], by[None, :, :2]), 0)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return side[..., 0] * side[..., 1] / np.maximum(area, 1e-9)[:, None]
