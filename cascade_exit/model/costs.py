"""What each exit costs: parameters and multiply-accumulates (MACs), whole and by part."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cascade_exit.model.cascade import CascadeDetector
from cascade_exit.model.config import FULL
from cascade_exit.model.exits import EarlyExit

# FlopCounterMode counts a multiply and an add apart.
FLOPS_PER_MAC = 2


@dataclass(frozen=True)
class ExitCost:
    """Cost of leaving at one exit.

    Attributes:
        macs: of one image that leaves here: looks, the trunk up to here and the answers of all exits on the way.
        parameters: of looks, of the trunk up to here and of all exits on the way.
        answer_macs: of this exit's own answer.
        answer_parameters: of this exit's own answer.
        attention_macs: of its attention.
        attention_parameters: of its attention.
    """

    macs: int
    parameters: int
    answer_macs: int
    answer_parameters: int
    attention_macs: int
    attention_parameters: int


def _parameters(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module is not None for p in module.parameters())


@torch.no_grad()
def exit_costs(model: CascadeDetector) -> dict[str, ExitCost]:
    """Cost of each exit, shallow to deep, counted on one image by torch's FlopCounterMode."""
    model = copy.deepcopy(model).eval()  # a copy: parts of the model may be frozen in another mode than the rest
    size = model.grid.input_size_px
    device = next(model.parameters()).device
    state = model.start(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device))
    costs: dict[str, ExitCost] = {}
    macs, parameters = 0, 0
    for name in model.exit_names:
        counter = FlopCounterMode(display=False)
        with counter:
            state = model.advance(name, state)
        macs += counter.get_total_flops() // FLOPS_PER_MAC
        counter = FlopCounterMode(display=False)
        with counter:
            _, state = model.answer(name, state)
        answer_macs = counter.get_total_flops() // FLOPS_PER_MAC
        macs += answer_macs
        stage, answering = _parts(model, name)
        parameters += _parameters(*stage, answering)
        attention = answering.branch.attention if isinstance(answering, EarlyExit) else None
        costs[name] = ExitCost(
            macs=macs,
            parameters=parameters,
            answer_macs=answer_macs,
            answer_parameters=_parameters(answering),
            attention_macs=_macs_below(counter, "attention"),
            attention_parameters=_parameters(attention),
        )
    return costs


def _parts(model: CascadeDetector, name: str) -> tuple[Iterable[nn.Module], nn.Module]:
    """The trunk's blocks of the stage that ends at an exit, and what answers there."""
    if name in model.looks:
        look = model.looks[name]
        return (look.trunk,), look.full  # type: ignore[return-value]
    start, stop = model.stage(name)
    return model.trunk.features[start:stop], model.full if name == FULL else model.exits[name]


def _macs_below(counter: FlopCounterMode, module: str) -> int:
    """MACs of the modules whose last name is `module`."""
    counts = counter.get_flop_counts()
    return sum(sum(ops.values()) for name, ops in counts.items() if name.split(".")[-1] == module) // FLOPS_PER_MAC
