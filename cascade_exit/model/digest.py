"""Exact scalars over all anchors of an exit: what the plan's early-exit criterion is made of."""

import math

from jaxtyping import Float
from torch import Tensor


def mean_confidence(class_logits: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    """Mean over all anchors of the largest softmax probability, background included.

    This is the plan's early-exit criterion. Nearly all anchors are background, so it mostly measures how sure
    the exit is of the background.
    """
    return class_logits.float().softmax(dim=-1).amax(dim=-1).mean(dim=-1)


def mean_normalised_entropy(class_logits: Float[Tensor, "batch anchor label"]) -> Float[Tensor, " batch"]:
    """Mean over all anchors of the softmax entropy divided by log(labels), in [0, 1]."""
    log_probability = class_logits.float().log_softmax(dim=-1)
    entropy = -(log_probability.exp() * log_probability).sum(dim=-1)
    return entropy.mean(dim=-1) / math.log(class_logits.shape[-1])
