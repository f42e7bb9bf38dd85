"""How well anchors cover true boxes: what the matcher of training can find for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from cascade_exit.data import InputConfig, boxes_to_input
from cascade_exit.evaluation.kinds import size_places
from cascade_exit.evaluation.truth import ImageTruth, area_scales

IOU_QUANTILES = (0.1, 0.5, 0.9)
_BOXES_AT_ONCE = 256


@dataclass(frozen=True)
class BoxSample:
    """Boxes that training matches anchors to.

    Attributes:
        boxes: xyxy in pixels of the network's input.
        labels: 1-based class labels.
        sizes: 0 for small, 1 for medium, 2 for large by COCO's areas, as `size_places` has them.
    """

    boxes: Float[Tensor, "box 4"]
    labels: Int[np.ndarray, " box"]
    sizes: Int[np.ndarray, " box"]

    def __len__(self) -> int:
        return len(self.labels)

    def spread(self, most: int) -> "BoxSample":
        """At most so many of the boxes, spread evenly over them."""
        if len(self) <= most:
            return self
        places = np.linspace(0, len(self) - 1, most).round().astype(int)
        return BoxSample(self.boxes[places], self.labels[places], self.sizes[places])


@dataclass(frozen=True)
class AnchorFit:
    """How anchors fit some boxes.

    Attributes:
        boxes: how many they are.
        recall: share of them with an anchor of at least the matcher's IoU; the others get their best one alone.
        anchors_per_box: mean number of anchors of at least the matcher's IoU.
        iou_quantiles: of each box's best IoU, at `IOU_QUANTILES`.
    """

    boxes: int
    recall: float
    anchors_per_box: float
    iou_quantiles: tuple[float, ...]


def sample_boxes(truth: Sequence[ImageTruth], input: InputConfig) -> BoxSample:
    """The boxes of single objects as the network is shown them.

    Args:
        truth: the images.
        input: size and resizing of the input.
    """
    boxes, labels, areas = [torch.zeros(0, 4)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for image, scale in zip(truth, area_scales(truth), strict=True):
        single = ~image.crowd
        original = torch.tensor(image.boxes[single], dtype=torch.float32)
        boxes.append(boxes_to_input(original, (image.height, image.width), input))
        labels.append(image.labels[single])
        areas.append(image.areas[single].astype(np.float64) * scale)
    return BoxSample(torch.cat(boxes), np.concatenate(labels), size_places(np.concatenate(areas)))


@dataclass(frozen=True)
class AnchorFits:
    """Fit of every box.

    Attributes:
        best_iou: with any anchor.
        anchors: number of anchors that reach the matcher's IoU, by that IoU.
    """

    best_iou: Float[np.ndarray, " box"]
    anchors: dict[float, Int[np.ndarray, " box"]]

    def of(self, iou: float, mask: Bool[np.ndarray, " box"] | None = None) -> AnchorFit | None:
        """The fit of some boxes, or of all, at a matcher's IoU; None of none."""
        best = self.best_iou if mask is None else self.best_iou[mask]
        if not len(best):
            return None
        anchors = self.anchors[iou] if mask is None else self.anchors[iou][mask]
        return AnchorFit(
            boxes=len(best),
            recall=float((anchors > 0).mean()),
            anchors_per_box=float(anchors.mean()),
            iou_quantiles=tuple(map(float, np.quantile(best, IOU_QUANTILES))),
        )


@torch.no_grad()
def anchor_fits(boxes: Float[Tensor, "box 4"], anchors: Float[Tensor, "anchor 4"], ious: Sequence[float]) -> AnchorFits:
    """Overlaps each box with every anchor.

    Each box is taken alone. In training an anchor answers for one object, so where objects overlap they get fewer.

    Args:
        boxes: xyxy in input pixels.
        anchors: xyxy in input pixels.
        ious: of the matcher.
    """
    best, reached = [torch.zeros(0)], {iou: [torch.zeros(0, dtype=torch.int64)] for iou in ious}
    for some in boxes.split(_BOXES_AT_ONCE):
        overlap = box_iou(some, anchors)
        best.append(overlap.amax(dim=1))
        for iou, counts in reached.items():
            counts.append((overlap >= iou).sum(dim=1))
    return AnchorFits(torch.cat(best).numpy(), {iou: torch.cat(counts).numpy() for iou, counts in reached.items()})
