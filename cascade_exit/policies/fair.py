"""Policies judged on a set that is too small to be split: families tuned by cross-fitting, and fixed thresholds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import Progress

from cascade_exit.evaluation.intervals import Groups
from cascade_exit.model import FULL
from cascade_exit.policies.crossfit import crossfit
from cascade_exit.policies.objectives import Objective, pick_point
from cascade_exit.policies.operating_points import PLAN_STATISTIC
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.pooling import fit_calibration
from cascade_exit.policies.reporting import Answers, Figures, answer_figures, answer_intervals
from cascade_exit.policies.rules import ThresholdRule, with_threshold
from cascade_exit.policies.scoring import Costs, Scorer, Static, cost_array
from cascade_exit.policies.tuning import NEVER_STOPS, TunedFamily, Tuning, family_names, tune_family
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

DROPS = (0.01, 0.03, 0.05)
# On mean confidence: the plan's thresholds for three exits, and for its design with a single early exit.
PLAN_THRESHOLDS = {
    ("exit1", "exit2", FULL): {"exit1": 0.60, "exit2": 0.75},
    ("exit1", FULL): {"exit1": 0.85},
}


@dataclass(frozen=True, eq=False)
class Measuring:
    """What every way of stopping is measured on, and against what.

    Attributes:
        trace: of the set.
        costs: MACs of an image that leaves at each exit.
        static: the baseline.
        groups: of each image, where images belong together.
        resamples: for the intervals; 0: none.
    """

    trace: Trace
    costs: Costs
    static: Static
    groups: Groups
    resamples: int

    def figures(self, answers: Answers) -> Figures:
        """Figures and intervals of one way of stopping."""
        figures = answer_figures(answers, self.trace.header.exit_names, self.static)
        if self.resamples:
            figures["intervals"] = answer_intervals(answers, self.static, self.resamples, self.groups)
        return figures


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What cross-fitting says of families of policies.

    Attributes:
        figures: by family and limit of the drop.
        best: by limit, the family with the highest speedup of those whose drop stayed within it (with the smallest
            drop, where none did). Choosing it looks at the figures themselves, so they flatter it.
        left_out: by family, why it cannot be tuned on this set.
    """

    figures: dict[str, dict[str, Figures]]
    best: dict[str, str]
    left_out: dict[str, str]


def crossfit_families(
    measuring: Measuring,
    names: Sequence[str] | None = None,
    drops: Sequence[float] = DROPS,
    progress: bool = False,
) -> CrossFitted:
    """Every family at every drop, each image decided by a policy that was tuned without its fold.

    For each fold scores are calibrated, rules fitted and thresholds picked on the other folds: the highest speedup
    whose relative AP drop against the baseline on these images is within the limit there. Where no thresholds are
    within it, that fold's policy never stops. The scores that are pooled in the end are calibrated on the whole set,
    which decides nothing about any image.

    Args:
        measuring: on what, and against what.
        names: of the families; all where None.
        drops: limits.
        progress: show a bar.

    Raises:
        UserError: no family can be tuned.
    """
    figures: dict[str, dict[str, Figures]] = {}
    left_out: dict[str, str] = {}
    folds = Folds(measuring)
    chosen = family_names() if names is None else tuple(names)
    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("Cross-fitting", total=len(chosen))
        for name in chosen:
            try:
                figures[name] = _crossfit_family(name, measuring, drops, folds)
            except UserError as error:
                left_out[name] = str(error)
            bar.advance(task)
    if not figures:
        raise UserError(f"cross-fitting: no family can be tuned on this set ({next(iter(left_out.values()))})")
    return CrossFitted(figures, {drop_name(drop): _best(figures, drop) for drop in drops}, left_out)


def fixed_thresholds(measuring: Measuring) -> dict[str, Figures]:
    """The plan's fixed thresholds on mean confidence as they really do; none where it has none for such a model."""
    exit_names = measuring.trace.header.exit_names
    thresholds = PLAN_THRESHOLDS.get(exit_names)
    if thresholds is None:
        return {}
    header = measuring.trace.header
    rules = {name: ThresholdRule(PLAN_STATISTIC, threshold) for name, threshold in thresholds.items()}
    policy = Policy(model=header.model, classes=header.classes, rules=dict(rules))
    scorer = Scorer(measuring.trace, measuring.costs)
    choice = policy.choose(measuring.trace)
    title = " ".join(f"{name}>={threshold:.2f}" for name, threshold in thresholds.items())
    return {title: measuring.figures(Answers(scorer.mixture.choose(choice), choice, scorer.costs))}


def drop_name(drop: float) -> str:
    """A limit as a key of metrics.json."""
    return f"{drop:g}"


def _crossfit_family(name: str, measuring: Measuring, drops: Sequence[float], folds: "Folds") -> dict[str, Figures]:
    return {drop_name(drop): measuring.figures(crossfit_answers(name, measuring, drop, folds)) for drop in drops}


def crossfit_answers(name: str, measuring: Measuring, drop: float, folds: "Folds") -> Answers:
    """What a family answers on every image, tuned without the image's fold; see `crossfit_families`."""
    trace, costs = measuring.trace, measuring.costs
    tune = folds.tuner(name, Objective("max_speedup", max_relative_ap_drop=drop))
    found = crossfit(trace, tune, costs, groups=measuring.groups, calibration=folds.calibration, resamples=0)
    return Answers(found.matches, found.choice, cost_array(trace.header.exit_names, costs))


class Folds:
    """What is left of the set without each fold: calibrated and matched once, each family fitted once."""

    def __init__(self, measuring: Measuring) -> None:
        # Folds on scales of their own would cost AP when they are pooled, even if no image ever stopped early.
        self.calibration = fit_calibration(measuring.trace)
        self._costs = {name: float(cost) for name, cost in measuring.costs.items()}
        self._static = measuring.static
        self._tunings: dict[tuple[int, ...], tuple[Tuning, Scorer]] = {}
        self._families: dict[tuple[str, tuple[int, ...]], TunedFamily] = {}

    def tuner(self, name: str, objective: Objective) -> Callable[[Trace], Policy]:
        """Makes a family's policy for an objective from what is left of the set."""
        return lambda part: self._policy(name, part, objective)

    def _policy(self, name: str, part: Trace, objective: Objective) -> Policy:
        key = tuple(image.image_id for image in part.truth)
        if key not in self._tunings:
            tuning = Tuning(part, self._costs, fit_calibration(part), static=self._static)
            self._tunings[key] = tuning, tuning.scorer(part)
        tuning, scorer = self._tunings[key]
        if (name, key) not in self._families:
            self._families[name, key] = tune_family(name, tuning, scorer)
        family = self._families[name, key]
        try:
            return family.policy(pick_point(family.points, objective), tuning)
        except UserError:
            rules = {exit_name: with_threshold(rule, NEVER_STOPS) for exit_name, rule in family.rules.items()}
            return Policy(model=part.header.model, classes=part.header.classes, rules=rules, name=name)


def _best(figures: Mapping[str, Mapping[str, Figures]], drop: float) -> str:
    at_drop = {name: by_drop[drop_name(drop)] for name, by_drop in figures.items()}
    lost = {name: found.get("relative_ap_drop", np.inf) for name, found in at_drop.items()}
    within = [name for name in at_drop if lost[name] <= drop]
    if within:
        return max(within, key=lambda name: at_drop[name]["speedup_macs"])
    return min(at_drop, key=lambda name: lost[name])
