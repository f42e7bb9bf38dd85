"""What policies may see of an exit's answer: its best anchors, and exact scalars over all of them."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.boxes import decode_boxes
from cascade_exit.model.output import ExitOutput
from cascade_exit.model.probabilities import label_probabilities

DIGEST_ANCHORS = 100


def mean_confidence(class_logits: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    """Mean over all anchors of the largest softmax probability, background included.

    This is the plan's early-exit criterion. Nearly all anchors are background, so it mostly measures how sure
    the exit is of the background.
    """
    return _mean_confidence(label_probabilities(class_logits))


def _mean_confidence(probability: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    return probability.amax(dim=-1).mean(dim=-1)


def mean_normalised_entropy(class_logits: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    """Mean over all anchors of the softmax entropy divided by log(labels), in [0, 1]."""
    return _mean_normalised_entropy(label_probabilities(class_logits))


def _mean_normalised_entropy(probability: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    # One that vanishes adds nothing; the logarithm of its limit is finite.
    entropy = -(probability * probability.clamp(min=torch.finfo(probability.dtype).tiny).log()).sum(dim=-1)
    return entropy.mean(dim=-1) / math.log(probability.shape[-1])


class Digest(NamedTuple):
    """What a policy may see of an exit's answer, per image: its best anchors, best first, and two exact scalars.

    Attributes:
        boxes: xyxy in input pixels, within the input; no NMS has been applied.
        logits: unnormalised class scores of the same anchors; label 0 is background.
        mean_confidence: see `mean_confidence`, over all anchors.
        mean_entropy: see `mean_normalised_entropy`, over all anchors.
    """

    boxes: Float[Tensor, "batch best 4"]
    logits: Float[Tensor, "batch best label"]
    mean_confidence: Float[Tensor, " batch"]
    mean_entropy: Float[Tensor, " batch"]

    def of(self, images: Tensor | slice) -> "Digest":
        """The digest of some of the images, by mask, indices or slice."""
        return Digest(*(values[images] for values in self))


def make_digest(output: ExitOutput, grid: AnchorGrid) -> Digest:
    """Digest of an exit's answer.

    Args:
        output: the answer.
        grid: the exit's anchors.

    Returns:
        The DIGEST_ANCHORS anchors (all, where there are fewer) with the highest probability of any one class, in
        float32. Equal probabilities are taken in the order of the anchors.
    """
    logits = output.class_logits.float()
    probability = label_probabilities(logits)
    best_class = probability[..., 1:].amax(dim=-1)
    # A stable sort rather than topk: which of equal anchors topk takes depends on the batch and the machine.
    order = best_class.sort(dim=-1, descending=True, stable=True).indices[:, :DIGEST_ANCHORS, None]
    deltas = output.box_deltas.float().gather(1, order.expand(-1, -1, 4))
    boxes = decode_boxes(deltas, grid.on(deltas.device)[order[..., 0]])
    return Digest(
        boxes=boxes.clamp(0, grid.input_size_px),
        logits=logits.gather(1, order.expand(-1, -1, logits.shape[-1])),
        mean_confidence=_mean_confidence(probability),
        mean_entropy=_mean_normalised_entropy(probability),
    )
