import pytest
import torch
from torch.nn import functional as F

from cascade_exit.losses import cascade_loss

from .samples import clone, gradient_size, random_output


def test_is_the_plans_kl_averaged_over_images_and_anchors() -> None:
    deeper, shallower = random_output(3, 7, seed=1), random_output(3, 7, seed=2)
    written = F.kl_div(deeper.class_logits.log_softmax(-1), shallower.class_logits.softmax(-1), reduction="sum")
    torch.testing.assert_close(cascade_loss(deeper, shallower), written / (3 * 7))
    assert float(cascade_loss(deeper, clone(deeper)).detach()) == pytest.approx(0, abs=1e-6)


def test_only_the_deeper_exits_logits_learn() -> None:
    deeper, shallower = random_output(3, 7, seed=1), random_output(3, 7, seed=2)
    cascade_loss(deeper, shallower).backward()
    assert gradient_size(deeper.class_logits) > 0
    assert deeper.box_deltas.grad is None
    assert shallower.class_logits.grad is None
    assert shallower.box_deltas.grad is None


def test_descent_brings_the_deeper_exit_to_the_shallower_one() -> None:
    deeper, shallower = random_output(1, 3, seed=1), random_output(1, 3, seed=2)
    optimizer = torch.optim.SGD([deeper.class_logits], lr=10.0)
    for _ in range(100):
        optimizer.zero_grad()
        cascade_loss(deeper, shallower).backward()
        optimizer.step()
    torch.testing.assert_close(deeper.class_logits.softmax(-1), shallower.class_logits.softmax(-1), atol=0.02, rtol=0)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_summed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    deeper, shallower = (random_output(2, 3234, seed=seed, dtype=dtype) for seed in (1, 2))
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        loss = cascade_loss(deeper, shallower)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cascade_loss(clone(deeper, torch.float32), clone(shallower, torch.float32)))


def test_a_batch_without_images_costs_nothing() -> None:
    assert cascade_loss(random_output(0, 7), random_output(0, 7)) == 0


def test_exits_without_a_common_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="one anchor grid"):
        cascade_loss(random_output(2, 7), random_output(2, 6))
