"""The network that runs has no batch norm left, and answers as the trained one does."""

import copy

import torch
from torch import nn

from cascade_exit.model import exit_costs
from cascade_exit.runtime import Detector
from cascade_exit.runtime.folding import fold_batch_norm
from tests.runtime import cascades


def test_answers_are_those_of_the_trained_network():
    # In 64 bit: what remains of the difference is rounding.
    trained = cascades.checkpoint("plain").detector().double()
    folded = copy.deepcopy(trained)
    fold_batch_norm(folded)
    with torch.inference_mode():
        expected, found = trained(cascades.pictures(6)), folded(cascades.pictures(6))
    for name, (logits, deltas) in expected.items():
        torch.testing.assert_close(found[name].class_logits, logits, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(found[name].box_deltas, deltas, atol=1e-9, rtol=1e-9)


def test_a_detector_has_no_batch_norm_and_the_costs_of_what_was_trained():
    checkpoint = cascades.checkpoint("plain")
    detector = Detector(checkpoint)
    assert any(isinstance(part, nn.BatchNorm2d) for part in checkpoint.detector().modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in detector.network.modules())
    assert detector.costs == exit_costs(checkpoint.detector())
