"""What the schedule freezes does not move: neither weights nor batch norm statistics."""

from unittest import mock

import lightning.pytorch as pl
import pytest
import torch

from cascade_exit.training import OptimizerConfig, PeriodConfig, ScheduleConfig
from cascade_exit.training.callbacks import ScheduleFreezing
from tests.training.small import small_batch, small_module

STAGED = ScheduleConfig(static=PeriodConfig(0.34), exits=PeriodConfig(0.33), joint=PeriodConfig(0.33))


def moved(epoch, frozen_features=0):
    """Parts of which any weight or statistic changes in one step of an epoch."""
    module = small_module(schedule=STAGED, optimizer=OptimizerConfig(frozen_features=frozen_features, lr=0.01))
    trainer = mock.Mock(spec=pl.Trainer, current_epoch=epoch)
    ScheduleFreezing(frozen_features).on_train_start(trainer, module)
    period = module.schedule.period_at(epoch)
    before = {name: value.clone() for name, value in module.detector.state_dict().items()}
    optimizer = torch.optim.AdamW(module._parameter_groups(), lr=0.01)
    batch = small_batch()
    outputs = module.detector(batch.images, exits=module.schedule.runs(period))
    module.criterion(outputs, batch.targets, active=module.schedule.learns(period)).total.backward()
    optimizer.step()
    after = module.detector.state_dict()
    names = [name for name in before if not torch.equal(before[name], after[name])]
    parts = {"exit1": "exits.exit1.", "exit2": "exits.exit2.", "full": "full.", "stem": "trunk.features.0."}
    return {part for part, prefix in parts.items() if any(name.startswith(prefix) for name in names)} | (
        {"trunk"} if any(name.startswith("trunk.features.16.") for name in names) else set()
    )


@pytest.mark.parametrize(
    ("epoch", "parts"),
    [(0, {"full", "stem", "trunk"}), (1, {"exit1", "exit2"}), (2, {"exit1", "exit2", "full", "stem", "trunk"})],
)
def test_each_period_moves_what_it_should(epoch, parts):
    assert moved(epoch) == parts


def test_frozen_features_never_move():
    assert moved(2, frozen_features=4) == {"exit1", "exit2", "full", "trunk"}


def test_every_parameter_is_in_one_group():
    module = small_module()
    grouped = [p for group in module._parameter_groups() for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(module.detector.parameters()))
