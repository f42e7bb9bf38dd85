"""What the model's detections look like to evaluation, so that these tests need no model."""

from typing import NamedTuple

from torch import Tensor


class Detections(NamedTuple):
    boxes: Tensor
    scores: Tensor
    labels: Tensor
