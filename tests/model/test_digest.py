import math

import numpy as np
import pytest
import torch

from cascade_exit.model import (
    DIGEST_ANCHORS,
    AnchorGrid,
    ExitOutput,
    make_digest,
    mean_confidence,
    mean_normalised_entropy,
)
from cascade_exit.model.boxes import decode_boxes

GRID = AnchorGrid(96)
ANCHORS = len(GRID.boxes)


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


def test_parts_are_made_once_and_only_where_asked_for(monkeypatch):
    made = []
    monkeypatch.setattr(
        "cascade_exit.model.digest.decode_boxes", lambda *given: made.append(len(given)) or decode_boxes(*given)
    )
    digest = make_digest(random_output(4, 3), GRID)
    some = digest.of(slice(1, 3)).replaced(logits=torch.zeros(2, 1, 4))
    assert not made
    other = digest.replaced(mean_entropy=torch.zeros(4))
    assert torch.equal(some.boxes, other.boxes[1:3])
    assert torch.equal(other.boxes, digest.boxes)
    assert len(made) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_lose_nothing_more(dtype):
    logits = torch.randn(2, 3234, 3).to(dtype)
    for scalar in (mean_confidence, mean_normalised_entropy):
        assert torch.equal(scalar(logits), scalar(logits.float()))


def random_output(batch: int, labels: int, seed: int = 0) -> ExitOutput:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, ANCHORS, labels, generator=generator)
    return ExitOutput(logits, 2 * torch.randn(batch, ANCHORS, 4, generator=generator))


def best_class(logits: list[float]) -> float:
    exponentials = [math.exp(value) for value in logits]
    return max(exponentials[1:]) / sum(exponentials)


def decoded(deltas: list[float], anchor: list[float], size_px: int) -> list[float]:
    low, high = [], []
    for axis in (0, 1):
        side = anchor[axis + 2] - anchor[axis]
        centre = anchor[axis] + side / 2 + 0.1 * deltas[axis] * side
        half = side / 2 * math.exp(min(0.2 * deltas[axis + 2], math.log(1000 / 16)))
        low.append(centre - half)
        high.append(centre + half)
    return [min(max(value, 0.0), float(size_px)) for value in low + high]


def slow_digest(output: ExitOutput, image: int) -> tuple[list[int], list[list[float]]]:
    """Best anchors of an image and their boxes, anchor by anchor."""
    logits, deltas = output.class_logits[image].tolist(), output.box_deltas[image].tolist()
    # Python sorts stably, so equal anchors stay in order.
    order = sorted(range(ANCHORS), key=lambda anchor: -best_class(logits[anchor]))[:DIGEST_ANCHORS]
    return order, [decoded(deltas[anchor], GRID.boxes[anchor].tolist(), 96) for anchor in order]


def assert_is_slow_digest(output: ExitOutput) -> None:
    digest = make_digest(output, GRID)
    for image in range(len(output.class_logits)):
        order, boxes = slow_digest(output, image)
        assert torch.equal(digest.logits[image], output.class_logits[image][order])
        np.testing.assert_allclose(digest.boxes[image].numpy(), boxes, atol=1e-4)


@pytest.mark.parametrize("labels", [2, 3, 20])
def test_is_that_of_a_slow_computation(labels):
    output = random_output(2, labels)
    assert len(GRID.boxes) > DIGEST_ANCHORS
    assert_is_slow_digest(output)
    digest = make_digest(output, GRID)
    assert torch.equal(digest.mean_confidence, mean_confidence(output.class_logits))
    assert torch.equal(digest.mean_entropy, mean_normalised_entropy(output.class_logits))


def test_equal_anchors_come_in_their_order():
    # Few different rows of logits, so that ties are everywhere, the last place of the digest included.
    output = random_output(2, 4, seed=1)
    kinds = torch.randint(0, 3, (2, ANCHORS), generator=torch.Generator().manual_seed(1))
    output = ExitOutput(output.class_logits[0, kinds], output.box_deltas)
    assert_is_slow_digest(output)
    assert_is_slow_digest(ExitOutput(torch.zeros_like(output.class_logits), output.box_deltas))
    same = make_digest(ExitOutput(torch.zeros_like(output.class_logits), output.box_deltas), GRID)
    alone = make_digest(ExitOutput(torch.zeros(1, ANCHORS, 4), output.box_deltas[1:]), GRID)
    assert torch.equal(same.boxes[1:], alone.boxes)


def test_some_images_of_a_digest():
    digest = make_digest(random_output(4, 3), GRID)
    mask = torch.tensor([True, False, False, True])
    for images in (mask, torch.tensor([0, 3]), slice(0, 4, 3)):
        for part, whole in zip(digest.of(images), digest, strict=True):
            assert torch.equal(part, torch.stack([whole[0], whole[3]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_digested_in_float32(dtype):
    output = ExitOutput(*(part.to(dtype) for part in random_output(1, 3)))
    digest = make_digest(output, GRID)
    assert {values.dtype for values in digest} == {torch.float32}
    assert_is_slow_digest(ExitOutput(*(part.float() for part in output)))
    whole = make_digest(ExitOutput(*(part.float() for part in output)), GRID)
    assert all(torch.equal(one, other) for one, other in zip(digest, whole, strict=True))
