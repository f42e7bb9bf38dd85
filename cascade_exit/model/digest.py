"""What policies may see of an exit's answer: its best anchors, and exact scalars over all of them."""

import math
from collections.abc import Callable, Iterator
from functools import partial

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


# A part of a digest, or what makes it when it is first asked for: a rule reads one or two of the four, and for one
# small image the others take longer than the decision.
Part = Tensor | Callable[[], Tensor]


class Digest:
    """What a policy may see of an exit's answer, per image: its best anchors, best first, and two exact scalars.

    Args:
        boxes: xyxy in input pixels, within the input; no NMS has been applied.
        logits: unnormalised class scores of the same anchors; label 0 is background.
        mean_confidence: see `mean_confidence`, over all anchors.
        mean_entropy: see `mean_normalised_entropy`, over all anchors.
    """

    def __init__(self, boxes: Part, logits: Part, mean_confidence: Part, mean_entropy: Part) -> None:
        self._parts = {
            "boxes": boxes,
            "logits": logits,
            "mean_confidence": mean_confidence,
            "mean_entropy": mean_entropy,
        }

    @property
    def boxes(self) -> Float[Tensor, "batch best 4"]:
        """Boxes xyxy in input pixels."""
        return self._part("boxes")

    @property
    def logits(self) -> Float[Tensor, "batch best label"]:
        """Class scores of the same anchors."""
        return self._part("logits")

    @property
    def mean_confidence(self) -> Float[Tensor, " batch"]:
        """Mean confidence over all anchors."""
        return self._part("mean_confidence")

    @property
    def mean_entropy(self) -> Float[Tensor, " batch"]:
        """Mean normalised entropy over all anchors."""
        return self._part("mean_entropy")

    def parts(self) -> dict[str, Tensor]:
        """All parts by name, in their order."""
        return {name: self._part(name) for name in self._parts}

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.parts().values())

    def of(self, images: Tensor | slice) -> "Digest":
        """The digest of some of the images, by mask, indices or slice."""
        return Digest(**{name: self._part_of(name, images) for name in self._parts})

    def replaced(self, **parts: Tensor) -> "Digest":
        """The same digest with other parts."""
        kept = {
            name: part if isinstance(part, Tensor) else partial(self._part, name) for name, part in self._parts.items()
        }
        return Digest(**(kept | parts))

    def _part(self, name: str) -> Tensor:
        part = self._parts[name]
        if not isinstance(part, Tensor):
            part = self._parts[name] = part()
        return part

    def _part_of(self, name: str, images: Tensor | slice) -> Part:
        part = self._parts[name]
        return part[images] if isinstance(part, Tensor) else lambda: self._part(name)[images]


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

    def boxes() -> Tensor:
        deltas = output.box_deltas.float().gather(1, order.expand(-1, -1, 4))
        return decode_boxes(deltas, grid.on(deltas.device)[order[..., 0]]).clamp(0, grid.input_size_px)

    return Digest(
        boxes=boxes,
        logits=logits.gather(1, order.expand(-1, -1, logits.shape[-1])),
        mean_confidence=lambda: _mean_confidence(probability),
        mean_entropy=lambda: _mean_normalised_entropy(probability),
    )
