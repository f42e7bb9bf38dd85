"""Probabilities of the labels, for numbers of labels below, at and above what a processor works on at a time."""

import pytest
import torch

from cascade_exit.model.probabilities import label_probabilities


@pytest.mark.parametrize("labels", [2, 7, 14, 15, 16, 17, 91])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_the_softmax_in_float32(labels: int, dtype: torch.dtype) -> None:
    logits = (5 * torch.randn(2, 33, labels, generator=torch.Generator().manual_seed(labels))).to(dtype)
    found = label_probabilities(logits)
    assert found.dtype == torch.float32
    assert found.shape == logits.shape
    torch.testing.assert_close(found.double(), logits.double().softmax(-1), rtol=2e-6, atol=1e-12)


def test_a_row_does_not_depend_on_the_others() -> None:
    logits = torch.randn(3, 40, 14, generator=torch.Generator().manual_seed(0))
    found = label_probabilities(logits)
    for image in range(3):
        for row in (0, 17, 39):
            assert torch.equal(label_probabilities(logits[image, row : row + 1])[0], found[image, row])


def test_gradient_is_that_of_the_softmax() -> None:
    logits = torch.randn(5, 14, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = torch.arange(14.0)
    (ours,) = torch.autograd.grad((label_probabilities(logits) * weights).sum(), logits)
    (theirs,) = torch.autograd.grad((logits.softmax(-1) * weights).sum(), logits)
    torch.testing.assert_close(ours, theirs)
