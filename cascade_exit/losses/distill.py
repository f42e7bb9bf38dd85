"""Deep to shallow: an exit learns from the last one, whose gradient is stopped.

Hinton et al., Distilling the Knowledge in a Neural Network, 2015; Han et al., Dynamic Perceiver, ICCV 2023.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cascade_exit.losses.config import DistillConfig
from cascade_exit.losses.distributed import share_of_total
from cascade_exit.losses.divergence import anchor_divergence
from cascade_exit.losses.precision import at_least_float32
from cascade_exit.model.output import ExitOutput


def distill_loss(student: ExitOutput, teacher: ExitOutput, config: DistillConfig) -> Float[Tensor, ""]:
    """KL(teacher || student) of the softened class distributions times T^2, plus smooth L1 between the box deltas.

    Both are weighted means over all images and anchors: the box term by the teacher's foreground confidence, the
    class term by it or uniformly (`config.anchor_weighting`). Smooth L1 is summed over the four deltas, as in
    `multibox_loss`.

    Args:
        student: answer of a shallower exit.
        teacher: answer of the last exit, on the student's anchors (see `project`); no gradient reaches it.
        config: temperature, box weight, anchor weighting; its `weight` is not applied here.

    Raises:
        ValueError: the exits have no common anchor grid.
    """
    temperature = config.temperature
    divergence = anchor_divergence(student.class_logits, teacher.class_logits, temperature) * temperature**2
    confidence = foreground_confidence(teacher.class_logits.detach())
    by_confidence = config.anchor_weighting == "confidence"
    loss = _weighted_mean(divergence, confidence if by_confidence else torch.ones_like(confidence))
    if config.box_weight > 0:
        loss = loss + config.box_weight * _weighted_mean(_box_difference(student, teacher), confidence)
    return loss


def foreground_confidence(class_logits: Float[Tensor, "batch anchor label"]) -> Float[Tensor, "batch anchor"]:
    """Probability that an anchor shows any object: 1 - background."""
    # Summed, not subtracted from 1: 1 - p is 0 in float32 long before the foreground is.
    return at_least_float32(class_logits).softmax(dim=-1)[..., 1:].sum(dim=-1)


def _box_difference(student: ExitOutput, teacher: ExitOutput) -> Float[Tensor, "batch anchor"]:
    deltas, wanted = at_least_float32(student.box_deltas), at_least_float32(teacher.box_deltas.detach())
    return F.smooth_l1_loss(deltas, wanted, reduction="none").sum(dim=-1)


def _weighted_mean(values: Float[Tensor, "batch anchor"], weights: Float[Tensor, "batch anchor"]) -> Float[Tensor, ""]:
    """Mean over the batch of all processes; 0 where all weights are 0."""
    return (values * weights).sum() / share_of_total(weights.sum(), at_least=torch.finfo(weights.dtype).tiny)
