import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from cascade_exit.losses.divergence import anchor_divergence

from .samples import random_output


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_is_the_divergence_of_the_student_from_the_teacher(temperature: float) -> None:
    student, teacher = (random_output(2, 7, seed=seed).class_logits for seed in (1, 2))
    truth = kl_divergence(Categorical(logits=teacher / temperature), Categorical(logits=student / temperature))
    torch.testing.assert_close(anchor_divergence(student, teacher, temperature), truth)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = (random_output(2, 7, seed=seed).class_logits for seed in (1, 2))
    anchor_divergence(student, teacher).sum().backward()
    assert teacher.grad is None
    # The gradient of KL(p || softmax(z)) with respect to z is softmax(z) - p.
    torch.testing.assert_close(student.grad, (student.softmax(-1) - teacher.softmax(-1)).detach())


def test_a_teacher_that_is_certain_gives_finite_values() -> None:
    teacher = torch.tensor([[[200.0, -200.0]]])
    student = torch.tensor([[[0.0, 0.0]]], requires_grad=True)
    value = anchor_divergence(student, teacher)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(0.6931472)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(("anchors", "labels"), [(6, 4), (7, 3)])
def test_other_anchors_or_labels_are_refused(anchors: int, labels: int) -> None:
    student = random_output(2, 7).class_logits
    with pytest.raises(ValueError, match=rf"one anchor grid.*\(2, 7, 4\) and \(2, {anchors}, {labels}\)"):
        anchor_divergence(student, random_output(2, anchors, labels=labels).class_logits)
