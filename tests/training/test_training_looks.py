"""Training a model with looks: what moves when, and what learns from whom."""

import dataclasses
from collections.abc import Iterable
from unittest import mock

import lightning.pytorch as pl
import pytest
import torch

from cascade_exit.losses import CascadeConfig, DistillConfig, DiversityConfig, LossConfig
from cascade_exit.model import ModelConfig
from cascade_exit.runs import build
from cascade_exit.training import CascadeModule, OptimizerConfig, PeriodConfig, ScheduleConfig
from cascade_exit.training.callbacks import ScheduleFreezing
from tests.training.small import small_batch, small_module

LOOKING = {
    "input": {"size_px": 96},
    "backbone": {"width": 0.35},
    "looks": {"exit1": {"size_px": 64, "backbone": {"width": 0.35}}},
}
STAGED = ScheduleConfig(static=PeriodConfig(0.34), exits=PeriodConfig(0.33), joint=PeriodConfig(0.33))
LOSS = LossConfig(
    {"exit1": 0.5, "full": 0.5},
    diversity=DiversityConfig(0.0),
    cascade=CascadeConfig(0.0),
    distill=DistillConfig(1.0, anchor_weighting="confidence"),
    trunk_gradient={"exit1": 0.0},
)
PARTS = {
    "look": "looks.exit1.full.",
    "look's trunk": "looks.exit1.trunk.features.16.",
    "look's stem": "looks.exit1.trunk.features.0.",
    "full": "full.",
    "trunk": "trunk.features.16.",
    "stem": "trunk.features.0.",
}


def looking(**settings) -> CascadeModule:
    return small_module(model=build(ModelConfig, LOOKING), **{"loss": LOSS} | settings)


def parts_of(found: Iterable[str]) -> set[str]:
    names = list(found)
    return {part for part, prefix in PARTS.items() if any(name.startswith(prefix) for name in names)}


def moved(epoch: int, frozen_features: int = 0) -> set[str]:
    """Parts of which any weight or statistic changes in one step of an epoch."""
    module = looking(schedule=STAGED, optimizer=OptimizerConfig(frozen_features=frozen_features, lr=0.01))
    ScheduleFreezing(frozen_features).on_train_start(mock.Mock(spec=pl.Trainer, current_epoch=epoch), module)
    period = module.schedule.period_at(epoch)
    before = {name: value.clone() for name, value in module.detector.state_dict().items()}
    optimizer = torch.optim.AdamW(module._parameter_groups(), lr=0.01)
    batch = small_batch()
    outputs = module.detector(batch.images, exits=module.schedule.runs(period))
    module.criterion(outputs, batch.targets, active=module.schedule.learns(period)).total.backward()
    optimizer.step()
    return parts_of(
        name for name, value in module.detector.state_dict().items() if not torch.equal(before[name], value)
    )


LOOK, FULL = {"look", "look's trunk", "look's stem"}, {"full", "trunk", "stem"}


@pytest.mark.parametrize(("epoch", "parts"), [(0, FULL), (1, LOOK), (2, LOOK | FULL)])
def test_each_period_moves_its_networks(epoch, parts):
    assert moved(epoch) == parts


@pytest.mark.parametrize(("distill", "runs"), [(0.0, ("exit1",)), (0.5, ("exit1", "full"))])
def test_the_full_network_is_run_beside_a_look_that_learns_only_where_it_teaches(distill, runs):
    loss = dataclasses.replace(LOSS, distill=DistillConfig(weight=distill))
    module = looking(loss=loss, schedule=STAGED)
    assert module.schedule.runs(module.schedule.period_at(1)) == runs


def test_first_features_of_every_trunk_can_be_frozen():
    assert moved(2, frozen_features=4) == (LOOK | FULL) - {"look's stem", "stem"}


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        # Its trunk is its own: no factor on what it sends there.
        ("exit1/classification", LOOK),
        ("full/classification", FULL),
        # The full exit teaches and stays untouched.
        ("distill", LOOK),
    ],
)
def test_each_term_reaches_its_network_only(term, parts):
    module, batch = looking(), small_batch()
    outputs = module.detector(batch.images, trunk_gradient=LOSS.trunk_gradient)
    module.criterion(outputs, batch.targets).terms[term].backward()
    named = module.detector.named_parameters()
    assert parts_of(name for name, p in named if p.grad is not None and p.grad.abs().sum() > 0) == parts


def test_every_trunk_learns_at_the_rate_of_trunks():
    module = looking(optimizer=OptimizerConfig(lr=0.1, trunk_lr_scale=0.5))
    rate = {id(p): group["lr"] for group in module._parameter_groups() for p in group["params"]}
    by_name = {name: rate[id(p)] for name, p in module.detector.named_parameters()}
    assert len(rate) == len(by_name)
    assert all(value == (0.05 if "trunk" in name else 0.1) for name, value in by_name.items())


def test_a_look_fits_its_targets():
    module, batch = looking(), small_batch()
    optimizer = torch.optim.Adam(module.detector.parameters(), lr=3e-3)
    module.detector.train()
    losses = []
    for _ in range(15):
        loss = module.criterion(module.detector(batch.images), batch.targets)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append({name: float(term.detach()) for name, term in loss.terms.items()})
    for name in ("exit1/classification", "exit1/localization", "full/classification", "full/localization"):
        assert losses[-1][name] < 0.5 * losses[0][name]
