"""Who learns from whom."""

import pytest
import torch
from torch import Tensor

from cascade_exit.model import CascadeDetector, ExitOutput, FullConfig

from .networks import RESIDUAL, TWO_EXITS, detector, photos, same, variant, with_context


def gradients(model: CascadeDetector, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of each parameter that the loss moves at all."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None and (g != 0).any()}


def loss_of(output: ExitOutput) -> Tensor:
    return output.class_logits.square().mean() + output.box_deltas.square().mean()


@pytest.mark.parametrize("name", ["exit1", "exit2", "full"])
def test_a_loss_reaches_its_exit_and_the_trunk_below_and_nothing_else(name):
    model = variant("plain")
    found = gradients(model, loss_of(model(photos())[name]))
    own = "full." if name == "full" else f"exits.{name}."
    last = 16 if name == "full" else TWO_EXITS[name].after

    def belongs(parameter: str) -> bool:
        if parameter.startswith("trunk.features."):
            return int(parameter.split(".")[2]) <= last
        return parameter.startswith(own)

    wanted = {parameter for parameter, _ in model.named_parameters() if belongs(parameter)}
    assert found.keys() == wanted


@pytest.mark.parametrize("name", ["exit1", "exit2", "full"])
def test_trunk_gradient_scales_what_an_exit_sends_into_the_trunk(name):
    model, images = variant("plain"), photos()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def sent(factors: dict[str, float]) -> list[Tensor | None]:
        loss = loss_of(model(images, trunk_gradient=factors)[name])
        return list(torch.autograd.grad(loss, parameters, allow_unused=True))

    whole = sent({})
    assert sum(g is not None for p, g in zip(names, whole, strict=True) if p.startswith("trunk.")) > 20
    for factor in (0.0, 0.2, 0.25):
        for parameter, one, other in zip(names, whole, sent({name: factor}), strict=True):
            if one is None:
                assert other is None
            elif parameter.startswith("trunk."):
                # A quarter is exact in binary, a fifth up to rounding.
                slack = 1e-5 * one.abs().max().item() if factor == 0.2 else 0
                torch.testing.assert_close(other, one * factor, rtol=0, atol=slack)
            else:
                assert torch.equal(other, one)


def test_trunk_gradient_changes_no_answer_and_no_other_exit():
    model, images = detector().train(), photos()
    before = model(images)
    after = model(images, trunk_gradient={"exit1": 0.3, "exit2": 0.7})
    assert all(same(before[name], after[name]) for name in model.exit_names)
    one = gradients(model, loss_of(model(images)["full"]))
    other = gradients(model, loss_of(model(images, trunk_gradient={"exit1": 0.2})["full"]))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["exit2", "full"])
def test_a_deeper_loss_does_not_pull_the_shallower_exit_through_the_residual(name):
    model = detector(RESIDUAL, FullConfig(refinement="residual")).train()
    found = gradients(model, loss_of(model(photos())[name]))
    own = "full." if name == "full" else f"exits.{name}."
    assert all(parameter.startswith(("trunk.", own)) for parameter in found)
    assert any(parameter.startswith(own) for parameter in found)


@pytest.mark.parametrize(
    ("kind", "name", "reached", "unreached"),
    [
        ("features", "exit2", "exits.exit1.branch.", "exits.exit1.head."),
        ("features", "full", "exits.exit2.branch.", "exits.exit2.head."),
        ("logits", "exit2", "exits.exit1.head.classification.0.", "exits.exit1.head.regression."),
        ("logits", "full", "exits.exit2.head.classification.0.", "exits.exit2.head.regression."),
    ],
)
def test_context_learns_at_once_and_then_teaches_what_it_reads(kind, name, reached, unreached):
    model = with_context(kind).train()
    fuse = model.full.fuse if name == "full" else model.exits[name].fuse
    found = gradients(model, loss_of(model(photos())[name]))
    own = "full.fuse." if name == "full" else f"exits.{name}.fuse."
    assert own + "project.weight" in found
    # The projection starts at zero, so nothing passes through it yet.
    assert not any(parameter.startswith(reached) for parameter in found)
    torch.nn.init.normal_(fuse.project.weight, std=0.1)
    found = gradients(model, loss_of(model(photos())[name]))
    assert any(parameter.startswith(reached) for parameter in found)
    assert not any(parameter.startswith(unreached) for parameter in found)
