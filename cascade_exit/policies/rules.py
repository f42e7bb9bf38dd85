"""Rules: what makes an image stop at one exit. A rule gives each image a value, and stops from its threshold on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from cascade_exit.model import Digest
from cascade_exit.policies.features import NUMBERS_PER_BOX, router_features, statistics_of
from cascade_exit.policies.overlaps import top_boxes
from cascade_exit.policies.statistics import COMPARISONS, STATISTICS, check_statistic

# Value of a rule on detections where there is none to object: above any margin that a score can have.
NOTHING_FOUND = 1.0


@runtime_checkable
class Rule(Protocol):
    """What all rules have in common."""

    @property
    def kind(self) -> str:
        """Which rule this is, in policy.json."""

    @property
    def threshold(self) -> float:
        """An image stops if its value is not below this."""

    @property
    def compares(self) -> bool:
        """Whether the rule looks at the previous exit's digest."""

    def values(self, digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        """How safe it is to stop, per image; larger = safer."""


def rule_stops(rule: Rule, digest: Digest, previous: Digest | None) -> Bool[Tensor, " batch"]:
    """Which images stop; one without a value (NaN) never does."""
    # In double precision, so that a threshold taken from the values themselves decides here as it did there.
    return rule.values(digest, previous).double() >= rule.threshold


@dataclass(frozen=True)
class ThresholdRule:
    """Stops from a statistic's threshold on.

    Attributes:
        statistic: name; see `STATISTICS`.
        threshold: in the statistic's unit.
    """

    statistic: str
    threshold: float
    kind: Literal["threshold"] = "threshold"

    def __post_init__(self) -> None:
        check_statistic(self.statistic)
        _check_number(self.threshold)

    @property
    def compares(self) -> bool:
        """Whether the statistic needs the previous exit."""
        return self.statistic in COMPARISONS

    def values(self, digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        """The statistic."""
        return STATISTICS[self.statistic](digest, previous)


@dataclass(frozen=True)
class PerClassRule:
    """Stops if each of the best boxes passes the threshold of its class.

    Boxes that overlap a better one of their class are left out. The value is the smallest margin of a score over
    its class's threshold, and NOTHING_FOUND where no box reaches the floor.

    Attributes:
        class_thresholds: of label i+1 at place i.
        floor: boxes with lower scores have no say.
        top: so many boxes of an image, best first, have a say.
        threshold: of the margin.
    """

    class_thresholds: tuple[float, ...]
    floor: float = 0.1
    top: int = 20
    threshold: float = 0.0
    kind: Literal["per_class"] = "per_class"

    def __post_init__(self) -> None:
        _check_number(self.threshold)
        if not all(0 <= threshold <= 1 for threshold in self.class_thresholds):
            raise ValueError(f"class_thresholds must lie in [0, 1], got {list(self.class_thresholds)}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor must lie in [0, 1), got {self.floor}")
        if self.top < 1:
            raise ValueError(f"top must be at least 1, got {self.top}")

    @property
    def compares(self) -> bool:
        """It does not look at the previous exit."""
        return False

    def values(self, digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        """The smallest margin.

        Raises:
            ValueError: the digest is not of as many classes as there are thresholds.
        """
        if digest.logits.shape[-1] != len(self.class_thresholds) + 1:
            classes = digest.logits.shape[-1] - 1
            raise ValueError(f"class_thresholds must be one per class ({classes}), got {len(self.class_thresholds)}")
        found = top_boxes(digest)
        best, places = found.scores.topk(min(self.top, found.scores.shape[1]), dim=-1)
        wanted = best.new_tensor(self.class_thresholds)[found.labels.gather(1, places) - 1]
        margin = torch.where(best > self.floor, best - wanted, NOTHING_FOUND)
        # A score that is no number has no margin, rather than none to object.
        return torch.where(best.isnan().any(dim=-1), math.nan, margin.amin(dim=-1))


@dataclass(frozen=True)
class LogisticRule:
    """Stops from a probability on, which a logistic model gives for several statistics.

    Attributes:
        statistics: names.
        means: subtracted from the statistics.
        scales: the differences are divided by these.
        weights: of the scaled statistics.
        bias: log-odds where all statistics are average.
        threshold: of the probability.
    """

    statistics: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float = 0.5
    kind: Literal["logistic"] = "logistic"

    def __post_init__(self) -> None:
        _check_number(self.threshold)
        _check_linear(self, len(self.statistics))

    @property
    def compares(self) -> bool:
        """Whether a statistic needs the previous exit."""
        return not COMPARISONS.isdisjoint(self.statistics)

    def values(self, digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        """The probability, in float64."""
        return _linear(statistics_of(digest, previous, self.statistics), self).sigmoid()


@dataclass(frozen=True)
class RouterRule:
    """Stops where going on would gain too little average precision for its cost.

    A linear model of `router_features` predicts the gain (see `fit_router`). The value is minus the gain per cost, so
    exits with the same threshold go on at the same price.

    Attributes:
        statistics: names of the statistics among the features.
        boxes: how many boxes are described in the features.
        means: subtracted from the features.
        scales: the differences are divided by these.
        weights: of the scaled features.
        bias: gain where all features are average.
        cost: of going on, as a share of the cost of an image that goes all the way.
        threshold: minus the gain per cost below which an image stops.
    """

    statistics: tuple[str, ...]
    boxes: int
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    cost: float
    threshold: float = 0.0
    kind: Literal["router"] = "router"

    def __post_init__(self) -> None:
        _check_number(self.threshold)
        if self.boxes < 0:
            raise ValueError(f"boxes must not be negative, got {self.boxes}")
        if not (math.isfinite(self.cost) and self.cost > 0):
            raise ValueError(f"cost must be above 0, got {self.cost}")
        _check_linear(self, len(self.statistics) + NUMBERS_PER_BOX * self.boxes)

    @property
    def compares(self) -> bool:
        """Whether a statistic needs the previous exit."""
        return not COMPARISONS.isdisjoint(self.statistics)

    def values(self, digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        """Minus the predicted gain per cost, in float64."""
        return -_linear(router_features(digest, previous, self.statistics, self.boxes), self) / self.cost


# pydantic reads a rule's kind first, so that what is wrong is said of that rule alone.
AnyRule = Annotated[ThresholdRule | PerClassRule | LogisticRule | RouterRule, Field(discriminator="kind")]
R = TypeVar("R", bound=ThresholdRule | PerClassRule | LogisticRule | RouterRule)


def with_threshold(rule: R, threshold: float) -> R:
    """The same rule at another threshold: another point of its curve."""
    return replace(rule, threshold=float(threshold))


def describe_rule(rule: Rule) -> str:
    """A rule in words."""
    match rule:
        case ThresholdRule():
            return f"stop where {rule.statistic} >= {rule.threshold:.6g}"
        case PerClassRule():
            return f"stop where each of the {rule.top} best boxes passes its class's threshold by {rule.threshold:.6g}"
        case LogisticRule():
            names = ", ".join(rule.statistics)
            return f"stop where a logistic model of {names} gives a probability >= {rule.threshold:.6g}"
        case _:
            return f"stop where going on is predicted to gain at most {-rule.threshold:.6g} AP per full cost"


def _check_number(threshold: float) -> None:
    if math.isnan(threshold):
        raise ValueError("threshold must be a number, got nan")


def _check_linear(rule: LogisticRule | RouterRule, features: int) -> None:
    for name in rule.statistics:
        check_statistic(name)
    for key in ("means", "scales", "weights"):
        numbers: Sequence[float] = getattr(rule, key)
        if len(numbers) != features:
            raise ValueError(f"{key} must hold {features} numbers, got {len(numbers)}")
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"{key} must be finite, got {list(numbers)}")
    if not all(scale > 0 for scale in rule.scales):
        raise ValueError(f"scales must be above 0, got {list(rule.scales)}")
    if not math.isfinite(rule.bias):
        raise ValueError(f"bias must be finite, got {rule.bias}")


def _linear(features: Float[Tensor, "batch feature"], rule: LogisticRule | RouterRule) -> Float[Tensor, " batch"]:
    means, scales, weights = (features.new_tensor(numbers) for numbers in (rule.means, rule.scales, rule.weights))
    # A sum of products rather than a matrix product, whose order of adding depends on the batch.
    return ((features - means) / scales * weights).sum(dim=1) + rule.bias
