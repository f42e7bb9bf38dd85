import json
import math
from dataclasses import dataclass

import pytest
import torch

from cascade_exit.policies.features import NUMBERS_PER_BOX, router_features
from cascade_exit.policies.rules import (
    NOTHING_FOUND,
    AnyRule,
    LogisticRule,
    PerClassRule,
    RouterRule,
    ThresholdRule,
    describe_rule,
    rule_stops,
    with_threshold,
)
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import SchemaError, build, to_plain

from .test_overlaps import random_digest
from .test_statistics import digest_of

LOGISTIC = LogisticRule(("max_score", "agreement"), (0.5, 0.6), (0.2, 0.1), (1.5, -0.7), 0.3)
ROUTER = RouterRule(("max_score",), 2, (0.1,) * 7, (2.0,) * 7, (0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7), 0.05, 0.6)
RULES = [ThresholdRule("top_mean", 0.3), PerClassRule((0.5, 0.4, 0.3)), LOGISTIC, ROUTER]
BY_KIND = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)


@dataclass(frozen=True)
class Holder:
    rules: dict[str, AnyRule]


@BY_KIND
def test_infinite_thresholds_stop_all_or_none(rule: AnyRule) -> None:
    digest, previous = random_digest(0), random_digest(1)
    assert rule_stops(with_threshold(rule, -math.inf), digest, previous).all()
    assert not rule_stops(with_threshold(rule, math.inf), digest, previous).any()


@BY_KIND
def test_a_threshold_taken_from_the_values_is_met(rule: AnyRule) -> None:
    digest, previous = random_digest(2, images=20), random_digest(3, images=20)
    values = rule.values(digest, previous)
    for value in values.tolist():
        assert torch.equal(rule_stops(with_threshold(rule, value), digest, previous), values >= value)


@BY_KIND
def test_threshold_changes_nothing_else(rule: AnyRule) -> None:
    digest, previous = random_digest(2), random_digest(3)
    other = with_threshold(rule, 0.123)
    assert other.threshold == 0.123
    assert torch.equal(other.values(digest, previous), rule.values(digest, previous))


@BY_KIND
def test_comes_back_from_json(rule: AnyRule) -> None:
    text = json.dumps(to_plain(Holder({"exit1": with_threshold(rule, 0.1 + 0.2)})))
    assert build(Holder, json.loads(text)).rules["exit1"] == with_threshold(rule, 0.1 + 0.2)


@BY_KIND
def test_an_image_that_is_no_number_goes_on(rule: AnyRule) -> None:
    digest = random_digest(0)
    broken = digest.replaced(logits=digest.logits.clone())
    broken.logits[1, 0] = math.nan
    stops = rule_stops(with_threshold(rule, -1e9), broken, random_digest(1))
    assert stops.tolist() == [True, False, True]


@BY_KIND
def test_a_row_does_not_depend_on_its_batch(rule: AnyRule) -> None:
    digest, previous = random_digest(5, images=9), random_digest(6, images=9)
    together = rule.values(digest, previous)
    for place in range(9):
        row = slice(place, place + 1)
        torch.testing.assert_close(together[row], rule.values(digest.of(row), previous.of(row)), rtol=0, atol=1e-6)


@BY_KIND
def test_is_said_in_words_with_its_threshold(rule: AnyRule) -> None:
    assert "0.25" in describe_rule(with_threshold(rule, -0.25 if rule.kind == "router" else 0.25))


def test_threshold_rule_is_the_statistic() -> None:
    digest = random_digest(0)
    for name in set(STATISTICS) - {"agreement"}:
        assert torch.equal(ThresholdRule(name, 0.5).values(digest, None), STATISTICS[name](digest, None))


def test_thresholds_compare_as_written() -> None:
    # float32(0.6) is above 0.6: a score stored as 0.6 passes a threshold of 0.6.
    digest = random_digest(0).replaced(mean_confidence=torch.tensor([0.6, 0.5999999, 0.7]))
    assert rule_stops(ThresholdRule("mean_confidence", 0.6), digest, None).tolist() == [True, False, True]


class TestPerClass:
    def margin(self, *scores: float, **more) -> float:
        labels = more.pop("labels", None)
        boxes = more.pop("boxes", None)
        return float(PerClassRule((0.5, 0.7), **more).values(digest_of(*scores, labels=labels, boxes=boxes), None))

    def test_is_the_smallest_margin(self) -> None:
        assert self.margin(0.9, 0.8, labels=[1, 1]) == pytest.approx(0.3, abs=1e-5)
        assert self.margin(0.9, 0.8, labels=[1, 2]) == pytest.approx(0.1, abs=1e-5)
        assert self.margin(0.9, 0.6, labels=[1, 2]) == pytest.approx(-0.1, abs=1e-5)

    def test_what_is_below_the_floor_has_no_say(self) -> None:
        assert self.margin(0.9, 0.2) == pytest.approx(-0.3, abs=1e-5)
        assert self.margin(0.9, 0.2, floor=0.25) == pytest.approx(0.4, abs=1e-5)
        assert self.margin(0.05, 0.02) == NOTHING_FOUND

    def test_only_the_best_have_a_say(self) -> None:
        assert self.margin(0.9, 0.8, 0.3, top=2) == pytest.approx(0.3, abs=1e-5)

    def test_a_weaker_duplicate_has_no_say(self) -> None:
        boxes = [[0.0, 0, 10, 10], [0.0, 0, 10, 9]]
        assert self.margin(0.9, 0.3, boxes=boxes) == pytest.approx(0.4, abs=1e-5)
        assert self.margin(0.9, 0.3, boxes=boxes, labels=[1, 2]) == pytest.approx(-0.4, abs=1e-5)

    def test_other_classes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"one per class \(2\), got 3"):
            PerClassRule((0.5, 0.5, 0.5)).values(digest_of(0.9), None)


def test_logistic_by_hand() -> None:
    digest, previous = random_digest(0), random_digest(1)
    score, agree = (STATISTICS[name](digest, previous).double() for name in LOGISTIC.statistics)
    odds = 0.3 + 1.5 * (score - 0.5) / 0.2 - 0.7 * (agree - 0.6) / 0.1
    torch.testing.assert_close(LOGISTIC.values(digest, previous), 1 / (1 + torch.exp(-odds)))


def test_router_by_hand() -> None:
    digest = digest_of(0.9, 0.5, boxes=[[0, 0, 10, 40], [100, 0, 110, 10]])
    seen = [0.9, 0.9, 0.5, 0.09, 0.25, 0.9 * 20, 0.5 * 10]
    features = router_features(digest, None, ("max_score",), 2)
    assert features[0].tolist() == pytest.approx(seen, abs=1e-4)
    gain = 0.05 + sum(weight * (number - 0.1) / 2 for weight, number in zip(ROUTER.weights, seen, strict=True))
    assert float(ROUTER.values(digest, None)) == pytest.approx(-gain / 0.6, abs=1e-4)


def test_router_sees_no_class_and_no_duplicate() -> None:
    boxes = [[0.0, 0, 10, 40], [100.0, 0, 110, 10], [0.0, 0, 10, 39]]
    one = router_features(digest_of(0.9, 0.5, boxes=boxes[:2]), None, ("max_score",), 4)
    other = router_features(digest_of(0.9, 0.5, boxes=boxes[:2], labels=[2, 1]), None, ("max_score",), 4)
    torch.testing.assert_close(one, other)
    double = router_features(digest_of(0.9, 0.5, 0.4, boxes=boxes), None, ("max_score",), 4)
    torch.testing.assert_close(one, double, rtol=0, atol=1e-5)
    assert one.shape == (1, 1 + 4 * NUMBERS_PER_BOX)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"kind": "threshold", "statistic": "max_scor", "threshold": 0.5}, "did you mean 'max_score'"),
        ({"kind": "threshold", "statistic": "max_score", "threshold": math.nan}, "threshold must be a number"),
        ({"kind": "per_class", "class_thresholds": [0.5, 1.5]}, r"class_thresholds must lie in \[0, 1\]"),
        ({"kind": "per_class", "class_thresholds": [0.5], "top": 0}, "top must be at least 1"),
        ({"kind": "per_class", "class_thresholds": [0.5], "floor": -1}, "floor must lie in"),
        ({**to_plain(LOGISTIC), "weights": [1.0]}, "weights must hold 2 numbers, got 1"),
        ({**to_plain(LOGISTIC), "scales": [1.0, 0.0]}, "scales must be above 0"),
        ({**to_plain(LOGISTIC), "bias": math.nan}, "bias must be finite"),
        ({**to_plain(ROUTER), "cost": 0}, "cost must be above 0"),
        ({**to_plain(ROUTER), "boxes": 3}, "means must hold 10 numbers, got 7"),
        ({"kind": "thresold"}, "kind"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict, line: str) -> None:
    with pytest.raises(SchemaError, match=line):
        build(Holder, {"rules": {"exit1": values}})
