import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from cascade_exit.losses import DistillConfig, distill_loss
from cascade_exit.losses.distill import foreground_confidence
from cascade_exit.model.output import ExitOutput

from .samples import clone, gradient_size, random_output


def by_hand(student: ExitOutput, teacher: ExitOutput, config: DistillConfig) -> float:
    """The definition, anchor by anchor."""
    t = config.temperature
    class_sum = box_sum = class_weights = box_weights = 0.0
    for image in range(len(student.class_logits)):
        for anchor in range(student.class_logits.shape[1]):
            own, wanted = student.class_logits[image, anchor], teacher.class_logits[image, anchor]
            confidence = 1 - float(wanted.detach().softmax(-1)[0])
            weight = confidence if config.anchor_weighting == "confidence" else 1.0
            divergence = kl_divergence(Categorical(logits=wanted / t), Categorical(logits=own / t))
            class_sum += weight * float(divergence.detach()) * t * t
            class_weights += weight
            distance = (student.box_deltas[image, anchor] - teacher.box_deltas[image, anchor]).abs().detach()
            box_sum += confidence * float(torch.where(distance < 1, 0.5 * distance**2, distance - 0.5).sum())
            box_weights += confidence
    return class_sum / class_weights + config.box_weight * box_sum / box_weights


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("box_weight", [0.0, 0.7])
@pytest.mark.parametrize("anchor_weighting", ["none", "confidence"])
def test_equals_its_definition(temperature: float, box_weight: float, anchor_weighting: str) -> None:
    config = DistillConfig(1.0, temperature, box_weight, anchor_weighting)
    student, teacher = random_output(2, 6, seed=1), random_output(2, 6, seed=2)
    value = float(distill_loss(student, teacher, config).detach())
    assert value == pytest.approx(by_hand(student, teacher, config), rel=1e-4)
    assert float(distill_loss(student, clone(student), config).detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("box_weight", [0.0, 1.0])
def test_only_the_student_learns(box_weight: float) -> None:
    student, teacher = random_output(2, 6, seed=1), random_output(2, 6, seed=2)
    distill_loss(student, teacher, DistillConfig(1.0, box_weight=box_weight)).backward()
    assert gradient_size(student.class_logits) > 0
    assert (gradient_size(student.box_deltas) > 0) == (box_weight > 0)
    assert teacher.class_logits.grad is None
    assert teacher.box_deltas.grad is None


def test_confidence_weighting_looks_where_the_teacher_sees_something() -> None:
    student, teacher = random_output(1, 2, seed=1, labels=2), random_output(1, 2, seed=2, labels=2)
    teacher.class_logits.data[0] = torch.tensor([[12.0, 0.0], [0.0, 12.0]])
    distill_loss(student, teacher, DistillConfig(1.0, anchor_weighting="confidence")).backward()
    for gradient in (student.class_logits.grad, student.box_deltas.grad):
        background, foreground = gradient[0].abs().sum(dim=-1)
        assert background < 1e-4 * foreground


def test_a_teacher_that_sees_nothing_at_all_teaches_nothing_rather_than_nan() -> None:
    student, teacher = random_output(1, 3, seed=1, labels=2), random_output(1, 3, seed=2, labels=2)
    teacher.class_logits.data[..., 0] = 500.0
    loss = distill_loss(student, teacher, DistillConfig(1.0, anchor_weighting="confidence"))
    loss.backward()
    assert loss == 0
    assert all((part.grad == 0).all() for part in student)


def test_foreground_confidence_is_exact_where_background_is_nearly_certain() -> None:
    logits = torch.tensor([[[20.0, 0.0, 0.0]]])
    assert float(foreground_confidence(logits)) == pytest.approx(2 * 2.0611536e-9, rel=1e-5)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_summed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    student, teacher = (random_output(2, 3234, seed=seed, dtype=dtype) for seed in (1, 2))
    config = DistillConfig(1.0, anchor_weighting="confidence")
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        loss = distill_loss(student, teacher, config)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, distill_loss(clone(student, torch.float32), clone(teacher, torch.float32), config))


def test_gradients_are_those_of_the_values() -> None:
    student, teacher = (random_output(1, 4, seed=seed, dtype=torch.float64) for seed in (1, 2))
    config = DistillConfig(1.0, temperature=2.0, anchor_weighting="confidence")
    torch.autograd.gradcheck(lambda *parts: distill_loss(ExitOutput(*parts), teacher, config), tuple(student))


def test_a_batch_without_images_costs_nothing() -> None:
    assert distill_loss(random_output(0, 7), random_output(0, 7), DistillConfig(1.0)) == 0


def test_exits_without_a_common_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="one anchor grid"):
        distill_loss(random_output(2, 7), random_output(2, 6), DistillConfig(1.0))
