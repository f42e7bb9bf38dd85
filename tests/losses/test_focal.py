import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from cascade_exit.data.batch import Targets
from cascade_exit.losses import IGNORED, FocalConfig, focal_loss, match_anchors, multibox_loss
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.output import ExitOutput

from .samples import clone, random_output, random_targets

ANCHORS = AnchorGrid(64).boxes * 5
FOCAL = FocalConfig(gamma=2.0, alpha=0.25)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (0.5, 0.75), (5.0, 0.1)])
def test_with_one_class_it_is_torchvisions_focal_loss_of_the_logits_difference(gamma: float, alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(3, 50, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(0, 2, (3, 50), generator=generator)
    loss = focal_loss(logits, labels, gamma, alpha)
    truth = sigmoid_focal_loss(logits[..., 1] - logits[..., 0], labels.double(), alpha=alpha, gamma=gamma)
    torch.testing.assert_close(loss, truth, atol=1e-12, rtol=1e-9)
    ours, theirs = (torch.autograd.grad(value.sum(), logits)[0] for value in (loss, truth))
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-9)


def test_closed_form_with_several_classes() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], dtype=torch.float64)
    loss = focal_loss(probabilities.log(), torch.tensor([0, 2]), gamma=2.0, alpha=0.25)
    log = probabilities.log()
    expected = torch.stack([-0.75 * 0.3**2 * log[0, 0], -0.25 * 0.9**2 * log[1, 2]])
    torch.testing.assert_close(loss, expected)


def test_without_focus_it_is_cross_entropy_times_alpha() -> None:
    output = random_output(2, 30, labels=4)
    labels = torch.randint(1, 4, (2, 30), generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(output.class_logits.flatten(0, 1), labels.flatten(), reduction="none").view(2, 30)
    torch.testing.assert_close(focal_loss(output.class_logits, labels, 0.0, 0.3), 0.3 * expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_answers_have_finite_gradients(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 1, 1]), gamma, 0.25)
    loss.sum().backward()
    assert loss.detach()[0] == 0
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


def test_all_anchors_count_but_the_ignored_and_positives_divide() -> None:
    targets = random_targets([3, 0])
    matches = match_anchors(targets, ANCHORS, 0.5)
    matches[0, matches[0].eq(-1).nonzero()[:7, 0]] = IGNORED
    output = random_output(2, len(ANCHORS))
    loss = multibox_loss(output, matches, targets, ANCHORS, focal=FOCAL)
    expected = 0.0
    for image in range(2):
        for anchor, match in enumerate(matches[image].tolist()):
            if match != IGNORED:
                label = int(targets.labels[image, match]) if match >= 0 else 0
                p = float(output.class_logits[image, anchor].double().softmax(0)[label].detach())
                expected -= (0.25 if label else 0.75) * (1 - p) ** 2 * torch.tensor(p).log().item()
    positives = int((matches >= 0).sum())
    assert float(loss["classification"].detach()) == pytest.approx(expected / positives, rel=1e-4)
    plain = multibox_loss(clone(output), matches, targets, ANCHORS)
    assert torch.equal(loss["localization"], plain["localization"])
    loss["classification"].backward()
    assert (output.class_logits.grad[matches == IGNORED] == 0).all()
    assert (output.class_logits.grad[matches != IGNORED].abs().sum(dim=-1) > 0).all()


def test_a_batch_without_objects_teaches_background() -> None:
    no_rows = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool))
    output = random_output(2, len(ANCHORS))
    loss = multibox_loss(output, match_anchors(no_rows, ANCHORS, 0.5), no_rows, ANCHORS, focal=FOCAL)
    loss["classification"].backward()
    assert (output.class_logits.grad[..., 0] < 0).all()


def test_half_precision_is_summed_in_float32_and_gradients_are_those_of_the_values() -> None:
    targets = random_targets([3, 1])
    matches = match_anchors(targets, ANCHORS, 0.5)
    half = random_output(2, len(ANCHORS), dtype=torch.float16)
    loss = multibox_loss(half, matches, targets, ANCHORS, focal=FOCAL)["classification"]
    exact = multibox_loss(clone(half, torch.float32), matches, targets, ANCHORS, focal=FOCAL)["classification"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact)
    few = torch.tensor([[32.0 * i, 0.0, 32.0 * i + 32, 32.0] for i in range(6)])
    output = random_output(2, len(few), dtype=torch.float64)
    of_few, weights = match_anchors(targets, few, 0.3), torch.tensor([1.0, 0.5, 2.0, 1.5])
    torch.autograd.gradcheck(
        lambda *parts: tuple(
            multibox_loss(ExitOutput(*parts), of_few, targets, few, focal=FOCAL, label_weights=weights).values()
        ),
        tuple(output),
    )
