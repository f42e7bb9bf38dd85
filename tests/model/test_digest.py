import math

import numpy as np
import pytest
import torch

from cascade_exit.model import mean_confidence, mean_normalised_entropy


def test_by_hand():
    logits = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0))
    exponential = np.exp(logits.double().numpy())
    probability = exponential / exponential.sum(-1, keepdims=True)
    np.testing.assert_allclose(mean_confidence(logits).numpy(), probability.max(-1).mean(-1), rtol=1e-5)
    entropy = -(probability * np.log(probability)).sum(-1) / math.log(5)
    np.testing.assert_allclose(mean_normalised_entropy(logits).numpy(), entropy.mean(-1), rtol=1e-5)


@pytest.mark.parametrize("labels", [2, 91])
def test_extremes(labels):
    undecided = torch.zeros(1, 7, labels)
    assert mean_confidence(undecided).item() == pytest.approx(1 / labels)
    assert mean_normalised_entropy(undecided).item() == pytest.approx(1)
    certain = undecided.clone()
    certain[..., 1] = 1000
    assert mean_confidence(certain).item() == 1
    assert mean_normalised_entropy(certain).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_lose_nothing_more(dtype):
    logits = torch.randn(2, 3234, 3).to(dtype)
    for scalar in (mean_confidence, mean_normalised_entropy):
        assert torch.equal(scalar(logits), scalar(logits.float()))
