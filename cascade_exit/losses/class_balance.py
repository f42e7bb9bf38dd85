"""Weights of classes by their effective number of samples (Cui et al., Class-Balanced Loss, CVPR 2019)."""

import math
from collections.abc import Sequence


def label_weights(boxes_per_class: Sequence[int], beta: float) -> list[float]:
    """Weight of each label for the classification loss of positive anchors.

    A class with `n` boxes has the weight `(1 - beta) / (1 - beta**n)`, up to a factor that all classes share. The paper
    chooses it so that the weights of C classes add up to C; here the mean weight *of a box* is 1, so that a class with
    most of the boxes does not make all objects light against the background.

    Args:
        boxes_per_class: boxes of each class in the training data; a class without any is weighted as if it had one.
        beta: in [0, 1); 0 weighs all classes alike, towards 1 the weight goes by `1 / n`.

    Returns:
        Weights by label; 1 for background, which is label 0.
    """
    if beta == 0:
        return [1.0] * (len(boxes_per_class) + 1)
    weights = [(1 - beta) / -math.expm1(max(n, 1) * math.log(beta)) for n in boxes_per_class]
    boxes = max(sum(boxes_per_class), 1)
    mean = sum(weight * n for weight, n in zip(weights, boxes_per_class, strict=True)) / boxes
    return [1.0, *(weight / (mean or 1.0) for weight in weights)]
