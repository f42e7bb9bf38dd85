"""Kullback-Leibler divergence between what two exits say about the same anchors."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cascade_exit.losses.precision import at_least_float32


def anchor_divergence(
    student_logits: Float[Tensor, "batch student_anchor student_label"],
    teacher_logits: Float[Tensor, "batch teacher_anchor teacher_label"],
    temperature: float = 1.0,
) -> Float[Tensor, "batch student_anchor"]:
    """KL(teacher || student) of the class distributions at each anchor; no gradient reaches the teacher.

    Args:
        student_logits: class logits that learn.
        teacher_logits: class logits to learn from, of the same anchors and labels.
        temperature: divides both logits.

    Raises:
        ValueError: anchors or labels of the two exits differ in number.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"exits can learn from each other only on one anchor grid with the same labels, got class logits of shape "
            f"{tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}"
        )
    student = (at_least_float32(student_logits) / temperature).log_softmax(dim=-1)
    teacher = (at_least_float32(teacher_logits.detach()) / temperature).log_softmax(dim=-1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)
