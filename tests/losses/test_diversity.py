import numpy as np
import pytest
import torch

from cascade_exit.losses import diversity_loss
from cascade_exit.model.output import ExitOutput

from .samples import clone, random_output


def spread_output(batch: int, dtype: torch.dtype = torch.float32) -> ExitOutput:
    """Images of different mean confidence."""
    output = random_output(batch, anchors=20, dtype=dtype)
    scale = torch.linspace(0.1, 2.0, batch, dtype=dtype)[:, None, None]
    return ExitOutput((output.class_logits.detach() * scale).requires_grad_(), output.box_deltas)


def by_numpy(output: ExitOutput, target_std: float) -> float:
    logits = output.class_logits.detach().double().numpy()
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return float((probability.max(axis=-1).mean(axis=-1).std(ddof=0) - target_std) ** 2)


@pytest.mark.parametrize("batch", [2, 3, 16])
@pytest.mark.parametrize("target_std", [0.0, 0.15])
def test_equals_its_definition(batch: int, target_std: float) -> None:
    output = spread_output(batch)
    assert float(diversity_loss(output, target_std).detach()) == pytest.approx(by_numpy(output, target_std), rel=1e-4)


def test_gradients_are_those_of_the_definition_and_reach_logits_only() -> None:
    output = spread_output(4)
    diversity_loss(output, 0.15).backward()
    exact = output.class_logits.detach().double().requires_grad_()
    (exact.softmax(-1).amax(-1).mean(-1).std(correction=0) - 0.15).square().backward()
    torch.testing.assert_close(output.class_logits.grad.double(), exact.grad, atol=1e-8, rtol=1e-4)
    assert output.box_deltas.grad is None


def test_descent_spreads_the_confidences() -> None:
    output = spread_output(4)
    start = float(diversity_loss(output, 0.4).detach())
    optimizer = torch.optim.SGD([output.class_logits], lr=10.0)
    for _ in range(20):
        optimizer.zero_grad()
        diversity_loss(output, 0.4).backward()
        optimizer.step()
    assert by_numpy(output, 0.4) < 0.8 * start


@pytest.mark.parametrize("batch", [0, 1])
def test_a_batch_without_spread_costs_nothing(batch: int) -> None:
    output = random_output(batch, anchors=5)
    loss = diversity_loss(output, 0.15)
    loss.backward()
    assert loss == 0
    assert (output.class_logits.grad == 0).all()


def test_equal_images_give_no_gradient_rather_than_nan() -> None:
    logits = random_output(1, anchors=5).class_logits.detach().expand(3, -1, -1).clone().requires_grad_()
    loss = diversity_loss(ExitOutput(logits, torch.zeros(3, 5, 4)), 0.15)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.15**2)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() < 1e-2


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_summed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    half = spread_output(4, dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        loss = diversity_loss(half, 0.15)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, diversity_loss(clone(half, torch.float32), 0.15))
