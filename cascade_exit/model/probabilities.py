"""Probabilities of the labels from their logits, at a speed that suits post-processing."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# Numbers that a processor works on at a time (AVX-512; fewer elsewhere). Along a shorter dimension torch's softmax
# takes them one by one: with 14 labels ten times as slow as with 16.
VECTOR = 16


def label_probabilities(class_logits: Float[Tensor, "*batch anchor label"]) -> Float[Tensor, "*batch anchor label"]:
    """Softmax over the labels, in float32. Each row's depends on nothing but the row."""
    logits = class_logits.float()
    labels = logits.shape[-1]
    if labels >= VECTOR:
        return logits.softmax(dim=-1)
    return functional.pad(logits, (0, VECTOR - labels), value=-torch.inf).softmax(dim=-1)[..., :labels]
