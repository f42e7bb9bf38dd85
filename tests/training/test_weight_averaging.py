"""The moving average of weights: the textbook's recursion, and no step where nothing moves."""

from unittest import mock

import lightning.pytorch as pl
import torch
from torch import Tensor

from cascade_exit.training import CascadeModule
from cascade_exit.training.fit import weight_averaging
from tests.training.small import small_module

DECAY, STEPS = 0.9, 20


def average_after(module: CascadeModule, moving: Tensor) -> dict[str, Tensor]:
    """Averages over some steps that each add 1 to a tensor of the module."""
    averaging = weight_averaging(DECAY)
    averaging.setup(mock.Mock(spec=pl.Trainer), module, "fit")
    for step in range(STEPS):
        with torch.no_grad():
            moving += 1
        trainer = mock.Mock(spec=pl.Trainer, global_step=step + 1)
        averaging.on_train_batch_end(trainer, module, None, None, step)
    checkpoint = {"state_dict": module.state_dict()}
    averaging.on_save_checkpoint(mock.Mock(spec=pl.Trainer), module, checkpoint)
    return checkpoint["state_dict"]


def test_what_moves_is_followed_and_what_is_frozen_stays_to_the_last_bit():
    module = small_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    name = "detector.full.extras.0.0.0.weight"
    average = average_after(module, module.get_parameter(name))
    expected = 1.0  # the first step's value is taken as it is
    for step in range(2, STEPS + 1):
        expected = DECAY * expected + (1 - DECAY) * step
    torch.testing.assert_close(average[name], before[name] + expected, rtol=0, atol=1e-4)
    assert all(torch.equal(average[other], value) for other, value in before.items() if other != name)


def test_statistics_of_batch_norm_are_averaged_too():
    module = small_module()
    name = "detector.trunk.features.0.1.running_mean"
    average = average_after(module, module.get_buffer(name))
    assert (average[name] < module.get_buffer(name) - 5).all()
