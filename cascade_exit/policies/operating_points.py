"""Operating points: thresholds tried out on a trace, and the Pareto front of what they reach."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from rich.progress import track

from cascade_exit.policies.pooling import Calibrations
from cascade_exit.policies.rules import Rule, ThresholdRule
from cascade_exit.policies.scoring import Score, Scorer
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

# The plan stops at exit 1 from 0.60, at exit 2 from 0.75 and, in its design with a single exit, from 0.85, each on
# mean confidence. Steps of 0.05 around the first two hold all three.
PLAN_GRID: dict[str, tuple[float, ...]] = {"exit1": (0.55, 0.60, 0.65, 0.70), "exit2": (0.70, 0.75, 0.80, 0.85)}
PLAN_STATISTIC = "mean_confidence"
QUANTILES = 16

Values = Mapping[str, Float64[np.ndarray, " image"]]


@dataclass(frozen=True)
class OperatingPoint(Score):
    """Thresholds and what they reach.

    Attributes:
        thresholds: by exit name; an image stops at the first exit whose value is not below it.
    """

    thresholds: dict[str, float]

    @classmethod
    def at(cls, thresholds: Mapping[str, float], score: Score) -> "OperatingPoint":
        """Puts thresholds and figures together."""
        return cls(thresholds=dict(thresholds), **vars(score))


def rule_values(trace: Trace, rules: Mapping[str, Rule], calibration: Calibrations | None = None) -> Values:
    """Value of each exit's rule for every image, whatever happened at exits before.

    Args:
        trace: where to look.
        rules: by exit name.
        calibration: by exit name; it acts on the digests as in `Policy.stops`.

    Raises:
        UserError: a rule is for no exit before the last, or gives a value that is no number.
    """
    values, previous = {}, None
    deciding = trace.header.exit_names[:-1]
    if strangers := [name for name in rules if name not in deciding]:
        raise UserError(f"rules: {strangers[0]} is no exit that may stop an image; those are {', '.join(deciding)}")
    for name in deciding:
        digest = trace.exits[name].digest
        if calibration and name in calibration:
            digest = calibration[name].digest(digest)
        if name in rules:
            values[name] = rules[name].values(digest, previous).double().numpy()
            _check_numbers(trace, name, values[name])
        previous = digest
    return values


def choose_exits(
    exit_names: Sequence[str], values: Values, thresholds: Mapping[str, float]
) -> Int[np.ndarray, " image"]:
    """Index of the first exit whose value is not below its threshold, else of the last exit.

    Args:
        exit_names: all, from shallow to deep.
        values: see `rule_values`; an exit without values stops nothing.
        thresholds: one for each exit of `values`.
    """
    images = next(iter(values.values())).size
    choice = np.full(images, len(exit_names) - 1)
    for index in reversed(range(len(exit_names) - 1)):
        name = exit_names[index]
        if name in values:
            choice[values[name] >= thresholds[name]] = index
    return choice


def quantile_grid(values: Values, count: int = QUANTILES) -> dict[str, tuple[float, ...]]:
    """Thresholds that stop about equally many more images each, from none to all.

    Args:
        values: see `rule_values`.
        count: of quantiles between the two ends.

    Returns:
        Ascending thresholds by exit name, among values that occur, with -inf (stops all) and inf (stops none).

    Raises:
        UserError: all images have the same value, so that no threshold tells them apart.
    """
    grid = {}
    for name, of_exit in values.items():
        if of_exit.min() == of_exit.max():
            raise UserError(
                f"rule of {name}: all {of_exit.size} images have the value {of_exit[0]:.6g}, so that no threshold can "
                "tell them apart; choose another statistic"
            )
        levels = np.arange(1, count + 1) / (count + 1)
        inner = np.unique(np.quantile(of_exit, levels, method="inverted_cdf"))
        grid[name] = (-math.inf, *inner.tolist(), math.inf)
    return grid


def default_grid(rules: Mapping[str, Rule], values: Values, count: int = QUANTILES) -> dict[str, tuple[float, ...]]:
    """PLAN_GRID where all rules are thresholds on mean confidence at exits that it names, quantiles otherwise."""
    on_plan = [isinstance(rule, ThresholdRule) and rule.statistic == PLAN_STATISTIC for rule in rules.values()]
    if all(on_plan) and set(rules) <= set(PLAN_GRID):
        return {name: PLAN_GRID[name] for name in rules}
    return quantile_grid(values, count)


def sweep(
    scorer: Scorer, values: Values, grid: Mapping[str, Sequence[float]], *, progress: bool = False
) -> tuple[OperatingPoint, ...]:
    """Tries every combination of thresholds.

    Combinations that choose the same exits are scored once.

    Args:
        scorer: of the trace that the values are of, with the calibration that they were taken under.
        values: see `rule_values`.
        grid: thresholds to try, ascending, by exit name.
        progress: show a bar.

    Returns:
        One point per combination, the last exit's threshold changing fastest.

    Raises:
        UserError: an exit without thresholds, or thresholds out of order.
    """
    for name in values:
        _check_thresholds(name, grid.get(name, ()))
    scores: dict[bytes, Score] = {}
    points = []
    combinations = list(itertools.product(*(grid[name] for name in values)))
    for combination in track(combinations, "Operating points", disable=not progress):
        thresholds = dict(zip(values, combination, strict=True))
        choice = choose_exits(scorer.exit_names, values, thresholds)
        key = choice.tobytes()
        if key not in scores:
            scores[key] = scorer.score(choice)
        points.append(OperatingPoint.at(thresholds, scores[key]))
    return tuple(points)


def pareto_front(points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Points that no other beats in AP at the same or a lower cost, cheapest first; of equal ones the first."""
    front: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.mean_cost, -point.ap)):
        if not front or point.ap > front[-1].ap:
            front.append(point)
    return tuple(front)


def _check_thresholds(name: str, thresholds: Sequence[float]) -> None:
    if not thresholds:
        raise UserError(f"thresholds of {name}: none given; give at least one")
    if not all(one < two for one, two in itertools.pairwise(thresholds)):
        raise UserError(f"thresholds of {name}: must be ascending, got {', '.join(f'{t:g}' for t in thresholds)}")
    if math.isnan(thresholds[0]):
        raise UserError(f"thresholds of {name}: must be numbers, got nan")


def _check_numbers(trace: Trace, name: str, values: np.ndarray) -> None:
    wrong = np.flatnonzero(np.isnan(values))
    if wrong.size:
        raise UserError(
            f"rule of {name}: no number for image {trace.truth[wrong[0]].image_id} ({wrong.size} of {values.size} "
            "images); trace again with a sound model"
        )
