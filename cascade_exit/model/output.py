"""What an exit says: raw outputs per anchor, and detections per image."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class ExitOutput(NamedTuple):
    """Raw answer of one exit, one row per anchor.

    Attributes:
        class_logits: unnormalised class scores; label 0 is background.
        box_deltas: box offsets in SSD coding (variances 0.1, 0.2) against the exit's anchors.
    """

    class_logits: Float[Tensor, "batch anchor label"]
    box_deltas: Float[Tensor, "batch anchor 4"]


class Detections(NamedTuple):
    """Detections of one image, best score first.

    Attributes:
        boxes: xyxy in pixels of the original image.
        scores: in [0, 1].
        labels: 1-based class labels of the class map.
    """

    boxes: Float[Tensor, "detection 4"]
    scores: Float[Tensor, " detection"]
    labels: Int[Tensor, " detection"]
