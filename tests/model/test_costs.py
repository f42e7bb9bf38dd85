from functools import cache

import pytest
import torch
from torch import Tensor, nn

from cascade_exit.model import (
    BackboneConfig,
    CascadeDetector,
    ExitConfig,
    ExitCost,
    FullConfig,
    ModelConfig,
    exit_costs,
)
from cascade_exit.model.head import Head

from .networks import TWO_EXITS, detector, photos


def convolution_macs(module: nn.Module, run) -> int:
    """MACs of the convolutions below a module while something runs, from their own shapes."""
    total = 0

    def count(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        kernel = layer.kernel_size[0] * layer.kernel_size[1]
        total += output.numel() * kernel * layer.in_channels // layer.groups

    handles = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return total


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_trunk_of_the_large_backbone_at_320_px():
    places = {f"exit{i + 1}": ExitConfig(place, channels=8, depth=1) for i, place in enumerate((7, 8, 12, 14))}
    mega_macs, answers = [], 0
    for cost in exit_costs(CascadeDetector(ModelConfig(exits=places), 1)).values():
        answers += cost.answer_macs
        mega_macs.append(round((cost.macs - answers) / 1e6))
    assert mega_macs == [170, 184, 310, 386, 435]


def test_class_head_on_the_672_map_at_91_labels():
    head = Head([672], anchors_per_cell=6, labels=91).eval()
    macs = convolution_macs(head.classification, lambda: head([torch.zeros(1, 672, 20, 20)]))
    assert round(macs / 1e6) == 149


@pytest.mark.parametrize(
    ("exits", "full"),
    [
        ({}, FullConfig()),
        (TWO_EXITS, FullConfig()),
        (
            {
                "exit1": ExitConfig(6, channels=16, attention="cbam", pyramid=False),
                "exit2": ExitConfig(14, channels=32, context="features", skip=False),
            },
            FullConfig(context="logits", refinement="residual"),
        ),
    ],
)
def test_counts_every_convolution_and_parameter_on_the_way(exits, full):
    model = detector(exits, full)
    costs = exit_costs(model)
    assert tuple(costs) == model.exit_names
    images = photos(1)
    for name, cost in costs.items():
        upto = model.exit_names[: model.exit_names.index(name) + 1]
        assert cost.macs == convolution_macs(model, lambda upto=upto: model(images, exits=upto))
        answering = model.full if name == "full" else model.exits[name]
        assert cost.answer_macs == convolution_macs(answering, lambda: model(images))
        assert cost.answer_parameters == parameters(answering)
        if name != "full":
            attention = answering.branch.attention
            assert cost.attention_macs == convolution_macs(attention, lambda: model(images))
            assert cost.attention_parameters == parameters(attention)
            way = [*model.trunk.features[: exits[name].after + 1], *(model.exits[one] for one in upto)]
            assert cost.parameters == sum(parameters(module) for module in way)
    assert costs["full"].parameters == parameters(model)
    assert (costs["full"].attention_macs, costs["full"].attention_parameters) == (0, 0)


SETTINGS: dict[str, dict[str, object]] = {
    "plain": {},
    "wider": {"channels": 64},
    "deeper": {"depth": 4},
    "larger kernel": {"kernel": 5},
    "with features": {"context": "features"},
    "with SE": {"attention": "se"},
    "with CBAM": {"attention": "cbam"},
    "without skip": {"skip": False},
    "without pyramid": {"pyramid": False},
}


@cache
def costs_by_setting() -> dict[str, ExitCost]:
    """Costs of exits that differ in one setting, after blocks whose maps are alike."""
    costs: dict[str, ExitCost] = {}
    for names in (list(SETTINGS)[start : start + 3] for start in range(0, len(SETTINGS), 3)):
        # A first exit without anything, so that each of the others has one before it.
        exits = {"exit1": ExitConfig(7, channels=48)}
        for place, name in enumerate(names, start=8):
            settings = {"channels": 48, "attention": "none", **SETTINGS[name]}
            exits[f"exit{place - 6}"] = ExitConfig(place, **settings)
        found = exit_costs(detector(exits))
        costs.update({name: found[f"exit{index}"] for index, name in enumerate(names, start=2)})
    return costs


@pytest.mark.parametrize("more", ["wider", "deeper", "larger kernel", "with features", "with SE", "with CBAM"])
def test_more_costs_more(more):
    plain, dearer = costs_by_setting()["plain"], costs_by_setting()[more]
    assert dearer.answer_macs > plain.answer_macs
    assert dearer.answer_parameters > plain.answer_parameters


@pytest.mark.parametrize("less", ["without skip", "without pyramid"])
def test_less_costs_less(less):
    plain, cheaper = costs_by_setting()["plain"], costs_by_setting()[less]
    assert cheaper.answer_macs < plain.answer_macs
    assert cheaper.answer_parameters < plain.answer_parameters


def test_attention_reports_its_share():
    none, se, cbam = (costs_by_setting()[name] for name in ("plain", "with SE", "with CBAM"))
    assert (none.attention_macs, none.attention_parameters) == (0, 0)
    for cost in (se, cbam):
        assert cost.attention_parameters == cost.answer_parameters - none.answer_parameters
        assert cost.attention_macs == cost.answer_macs - none.answer_macs > 0
    assert cbam.attention_macs > se.attention_macs


def test_leaves_the_model_as_it_was():
    model = detector().train()
    model.trunk.features[:5].eval()  # a frozen beginning keeps its own mode
    modes = [module.training for module in model.modules()]
    statistics = {name: value.clone() for name, value in model.state_dict().items()}
    exit_costs(model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, statistics[name]) for name, value in model.state_dict().items())


def test_half_the_side_costs_a_quarter_of_the_trunk():
    large, small = (
        exit_costs(detector({}, backbone=BackboneConfig(width=0.35), size_px=s))["full"] for s in (256, 128)
    )
    ratio = (large.macs - large.answer_macs) / (small.macs - small.answer_macs)
    assert 3.9 < ratio < 4.0
