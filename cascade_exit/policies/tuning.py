"""Families of policies tuned on one trace: rules fitted, thresholds tried out, an operating point picked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.fitting import digests_at
from cascade_exit.policies.logistic import as_good_as_full, fit_logistic
from cascade_exit.policies.objectives import Objective, pick_point
from cascade_exit.policies.operating_points import (
    PLAN_GRID,
    PLAN_STATISTIC,
    QUANTILES,
    OperatingPoint,
    Values,
    pareto_front,
    quantile_grid,
    rule_values,
    sweep,
)
from cascade_exit.policies.per_class import fit_per_class
from cascade_exit.policies.policy import Fact, Policy
from cascade_exit.policies.router import fit_router
from cascade_exit.policies.rules import AnyRule, ThresholdRule, with_threshold
from cascade_exit.policies.scoring import Costs, Scorer, Static
from cascade_exit.policies.statistics import COMPARISONS, STATISTICS
from cascade_exit.runs import UserError, closest
from cascade_exit.trace import Trace

PLAN = "plan"
NEVER_STOPS = math.inf
# A statistic that is spread less than this says nothing that a logistic rule could use.
LEAST_STD = 1e-9


@dataclass(frozen=True)
class Tuning:
    """What is tuned, on what, and for what.

    Attributes:
        trace: of the calibrate role.
        costs: of an image that leaves at each exit.
        calibration: of scores, by exit name.
        quantiles: thresholds tried per exit.
        static: what drop and speedup are measured against; the last exit where None.
        deciding: the only exits that may stop an image, where the others are to be passed by; all where None.
    """

    trace: Trace
    costs: Costs
    calibration: Mapping[str, ExitCalibration]
    quantiles: int = QUANTILES
    static: Static | None = None
    deciding: tuple[str, ...] | None = None

    def scorer(self, trace: Trace) -> Scorer:
        """Of the trace that is tuned on, or of other images that are scored alike."""
        baseline = None if self.static is None else self.static.on(trace)
        return Scorer(trace, self.costs, self.calibration, baseline)

    def answers(self, exit_name: str) -> bool:
        """Whether an early exit answers anyway, so that nothing is paid for looking at it."""
        return self.deciding is None or exit_name in self.deciding


@dataclass(frozen=True)
class TunedFamily:
    """A family of policies with everything that was tried.

    Attributes:
        name: of the family.
        rules: fitted, by exit name; their thresholds are those that never stop.
        points: all thresholds tried.
    """

    name: str
    rules: dict[str, AnyRule]
    points: tuple[OperatingPoint, ...]

    @property
    def front(self) -> tuple[OperatingPoint, ...]:
        """Points that no other beats, cheapest first."""
        return pareto_front(self.points)

    def policy(self, point: OperatingPoint, tuning: Tuning) -> Policy:
        """The policy of one operating point; a rule that never stops is left out, so that its exit is passed by."""
        header = tuning.trace.header
        known: dict[str, Fact] = {"role": header.role, "data": header.data, "images": len(tuning.trace)}
        if tuning.static is not None:
            known["baseline"] = tuning.static.name
        stopping = {name: rule for name, rule in self.rules.items() if point.thresholds[name] < NEVER_STOPS}
        return Policy(
            model=header.model,
            classes=header.classes,
            rules={name: with_threshold(rule, point.thresholds[name]) for name, rule in stopping.items()},
            calibration=dict(tuning.calibration),
            exit_rates=point.exit_rates,
            tuned_on=known,
            name=self.name,
        )


Fit = Callable[[Tuning, Scorer, str], AnyRule]


def _threshold_on(statistic: str) -> Fit:
    return lambda tuning, scorer, exit_name: ThresholdRule(statistic, NEVER_STOPS)


def _logistic(tuning: Tuning, scorer: Scorer, exit_name: str) -> AnyRule:
    digest, previous = digests_at(tuning.trace, exit_name, tuning.calibration)
    usable = [name for name in STATISTICS if previous is not None or name not in COMPARISONS]
    statistics = [name for name in usable if STATISTICS[name](digest, previous).double().std(correction=0) > LEAST_STD]
    target = as_good_as_full(tuning.trace, exit_name)
    return fit_logistic(tuning.trace, exit_name, statistics, target, tuning.calibration)


def _router(tuning: Tuning, scorer: Scorer, exit_name: str) -> AnyRule:
    return fit_router(tuning.trace, scorer.matches, exit_name, tuning.costs, calibration=tuning.calibration)


def _per_class(strength: float | None = None) -> Fit:
    return lambda tuning, scorer, exit_name: fit_per_class(tuning.trace, exit_name, tuning.calibration, strength)


def family_names() -> tuple[str, ...]:
    """All families: the plan's, a threshold on each statistic, and the rules that are fitted."""
    return (PLAN, *STATISTICS, *_FITTED)


_FITTED: dict[str, Fit] = {"per_class": _per_class(), "logistic": _logistic, "router": _router}
# What `per_class` is held against: one threshold for all classes, and thresholds that are not shrunk.
PER_CLASS_EXTREMES: dict[str, Fit] = {"per_class_shared": _per_class(math.inf), "per_class_own": _per_class(0.0)}


def tune_family(name: str, tuning: Tuning, scorer: Scorer) -> TunedFamily:
    """Fits a family's rules and tries out thresholds.

    Args:
        name: see `family_names`; or one of `PER_CLASS_EXTREMES`.
        tuning: what is tuned, on what.
        scorer: of the tuning's trace, costs and calibration.

    Raises:
        UserError: no such family, or it has nothing to decide on this trace.
    """
    fitted = _FITTED | PER_CLASS_EXTREMES
    if name not in family_names() and name not in fitted:
        raise UserError(f"family={name}: no such family{closest(name, family_names())}; auto tries all")
    fit = fitted[name] if name in fitted else _threshold_on(PLAN_STATISTIC if name == PLAN else name)
    deciding = tuning.trace.header.exit_names[:-1]
    if name in COMPARISONS:
        deciding = deciding[1:]
    if name == PLAN:
        deciding = tuple(exit_name for exit_name in deciding if exit_name in PLAN_GRID)
    deciding = tuple(exit_name for exit_name in deciding if tuning.answers(exit_name))
    if not deciding:
        raise UserError(f"family={name}: the model has no exit that it could decide at")
    rules, values = _deciding_rules(fit, tuning, scorer, deciding)
    grid: Mapping[str, Sequence[float]] = PLAN_GRID if name == PLAN else quantile_grid(values, tuning.quantiles)
    stopping = {exit_name: with_threshold(rule, NEVER_STOPS) for exit_name, rule in rules.items()}
    return TunedFamily(name, stopping, sweep(scorer, values, grid))


def _deciding_rules(
    fit: Fit, tuning: Tuning, scorer: Scorer, deciding: Sequence[str]
) -> tuple[dict[str, AnyRule], Values]:
    """The rules of the exits at which they tell images apart, and their values.

    Raises:
        UserError: there is no such exit; it says why of the first.
    """
    rules: dict[str, AnyRule] = {}
    reasons, names = [], tuning.trace.header.exit_names
    for exit_name in deciding:
        try:
            rule = fit(tuning, scorer, exit_name)
        except UserError as error:
            reasons.append(str(error))
            continue
        if rule.compares and not tuning.answers(names[names.index(exit_name) - 1]):
            reasons.append(f"{exit_name}: it compares with the exit before, which is passed by")
            continue
        of_exit = rule_values(tuning.trace, {exit_name: rule}, tuning.calibration)[exit_name]
        if of_exit.min() == of_exit.max():
            reasons.append(f"{exit_name}: the value is {of_exit[0]:.4g} for all {of_exit.size} images")
        else:
            rules[exit_name] = rule
    if not rules:
        raise UserError("; ".join(reasons))
    return rules, rule_values(tuning.trace, rules, tuning.calibration)


def tune_policy(name: str, tuning: Tuning, objective: Objective) -> Policy:
    """A family's best policy on a trace.

    Raises:
        UserError: see `tune_family`; or no operating point is within the objective's limits.
    """
    scorer = tuning.scorer(tuning.trace)
    family = tune_family(name, tuning, scorer)
    return family.policy(pick_point(family.points, objective), tuning)
