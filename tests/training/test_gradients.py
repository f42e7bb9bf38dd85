"""The gradient of each loss term reaches exactly the parameters that it should."""

import pytest

from cascade_exit.losses import CascadeConfig, DistillConfig, DiversityConfig, LossConfig
from tests.training.small import small_batch, small_module

OFF = {"diversity": DiversityConfig(weight=0.0), "cascade": CascadeConfig(weight=0.0)}
SHALLOW, MIDDLE, DEEP = (f"trunk.features.{index}." for index in (8, 14, 16))


def reached(module, term):
    """Parts of the network that one term's gradient reaches."""
    batch = small_batch()
    module.zero_grad(set_to_none=True)
    outputs = module.detector(batch.images, trunk_gradient=module.config.loss.trunk_gradient)
    module.criterion(outputs, batch.targets).terms[term].backward()
    names = [
        name
        for name, parameter in module.detector.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    ]
    parts = {
        "exit1": "exits.exit1.",
        "exit2": "exits.exit2.",
        "full": "full.",
        "shallow trunk": SHALLOW,
        "middle trunk": MIDDLE,
        "deep trunk": DEEP,
    }
    return {part for part, prefix in parts.items() if any(name.startswith(prefix) for name in names)}


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("exit1/classification", {"exit1", "shallow trunk"}),
        ("exit1/localization", {"exit1", "shallow trunk"}),
        ("exit2/classification", {"exit2", "shallow trunk", "middle trunk"}),
        ("full/classification", {"full", "shallow trunk", "middle trunk", "deep trunk"}),
        ("full/localization", {"full", "shallow trunk", "middle trunk", "deep trunk"}),
        # Deep to shallow: the teacher and what only it uses stay untouched.
        ("distill", {"exit1", "exit2", "shallow trunk", "middle trunk"}),
        # The plan's pull of deep exits towards shallow ones: exit 1 is only a target.
        ("cascade", {"exit2", "full", "shallow trunk", "middle trunk", "deep trunk"}),
        ("diversity", {"exit1", "exit2", "full", "shallow trunk", "middle trunk", "deep trunk"}),
    ],
)
def test_each_term_reaches_exactly_its_parameters(term, parts):
    assert reached(small_module(loss=LossConfig(distill=DistillConfig(weight=1.0))), term) == parts


def test_trunk_gradient_zero_keeps_exit_1_out_of_the_trunk():
    module = small_module(loss=LossConfig(trunk_gradient={"exit1": 0.0}, **OFF))
    assert reached(module, "exit1/classification") == {"exit1"}


def test_terms_switched_off_are_not_there():
    module, batch = small_module(loss=LossConfig(**OFF)), small_batch()
    terms = module.criterion(module.detector(batch.images), batch.targets).terms
    assert set(terms) == {f"{e}/{t}" for e in ("exit1", "exit2", "full") for t in ("classification", "localization")}
