from itertools import accumulate

import pytest
import torch
from torch.nn import functional as F

from cascade_exit.losses import (
    BACKGROUND,
    CascadeConfig,
    CascadeCriterion,
    DiversityConfig,
    FocalConfig,
    LossConfig,
    label_weights,
    match_anchors,
    multibox_loss,
)
from cascade_exit.model.anchors import AnchorGrid

from .samples import random_output, random_targets

ANCHORS = AnchorGrid(64).boxes * 5
COUNTS = [6217, 356, 1, 40]
OFF = {"diversity": DiversityConfig(weight=0.0), "cascade": CascadeConfig(weight=0.0)}


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999, 0.9999])
def test_weights_go_by_the_papers_effective_number(beta: float) -> None:
    # Proposition 1, by its recursion rather than its closed form: E_1 = 1, E_n = 1 + beta * E_(n-1).
    effective = [list(accumulate(range(n), lambda before, _: 1 + beta * before, initial=0.0))[-1] for n in COUNTS]
    background, *weights = label_weights(COUNTS, beta)
    assert background == 1
    products = [weight * number for weight, number in zip(weights, effective, strict=True)]
    assert products == pytest.approx([products[0]] * len(products))
    # The mean over boxes is 1.
    assert sum(w * n for w, n in zip(weights, COUNTS, strict=True)) == pytest.approx(sum(COUNTS))


def test_the_ends_are_no_weights_and_the_inverse_of_counts() -> None:
    assert label_weights(COUNTS, 0.0) == [1.0] * 5
    *_, third, fourth = label_weights(COUNTS, 1 - 1e-9)
    assert third / fourth == pytest.approx(40, rel=1e-5)


def test_a_class_without_boxes_has_a_finite_weight_and_changes_no_other() -> None:
    with_none = label_weights([100, 0, 10], 0.99)
    assert [with_none[1], with_none[3]] == pytest.approx(label_weights([100, 10], 0.99)[1:])
    assert 0 < with_none[2] < float("inf")
    assert label_weights([0, 0], 0.99) == [1.0, 1.0, 1.0]


def test_positives_are_weighted_and_nothing_else() -> None:
    targets = random_targets([4, 2])
    matches = match_anchors(targets, ANCHORS, 0.5)
    output = random_output(2, len(ANCHORS))
    weights = torch.tensor([1.0, 3.0, 0.5, 0.25])
    plain = multibox_loss(output, matches, targets, ANCHORS)
    weighted = multibox_loss(output, matches, targets, ANCHORS, label_weights=weights)
    positive = matches >= 0
    image = positive.nonzero()[:, 0]
    labels = targets.labels[image, matches[positive]]
    losses = F.cross_entropy(output.class_logits[positive], labels, reduction="none")
    change = ((weights[labels] - 1) * losses).sum() / len(labels)
    torch.testing.assert_close(weighted["classification"], plain["classification"] + change)
    assert torch.equal(weighted["localization"], plain["localization"])


@pytest.mark.parametrize("classification", ["multibox", "focal"])
def test_the_criterion_weighs_by_the_boxes_it_is_told(classification: str) -> None:
    targets, answers = random_targets([4, 2]), {"full": random_output(2, len(ANCHORS))}
    config = LossConfig(classification=classification, class_balance_beta=0.99, **OFF)
    apply = CascadeCriterion(config, {"full": ANCHORS}, ("full",), (500, 20, 3))
    matches = match_anchors(targets, ANCHORS, 0.5)
    assert (matches == BACKGROUND).any()
    focal = FocalConfig() if classification == "focal" else None
    weights = torch.tensor(label_weights((500, 20, 3), 0.99))
    expected = multibox_loss(answers["full"], matches, targets, ANCHORS, focal=focal, label_weights=weights)
    assert apply(answers, targets).terms["full/classification"] == expected["classification"]
    # More boxes of the same shares weigh differently: it is the number that counts.
    other = CascadeCriterion(config, {"full": ANCHORS}, ("full",), (5000, 200, 30))
    assert other(answers, targets).total != apply(answers, targets).total


def test_boxes_nobody_counted_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"boxes_per_class must be given where loss\.class_balance_beta is above 0"):
        CascadeCriterion(LossConfig(class_balance_beta=0.9), {"full": ANCHORS}, ("full",))
    CascadeCriterion(LossConfig(), {"full": ANCHORS}, ("full",))
