"""What tuning comes to: by an objective, or by a limit on the risk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.console import Console

from cascade_exit.policies import Objective, Policy
from cascade_exit.policies.certifying import best_risk_candidate, certify, fitting_half, risk_candidates
from cascade_exit.policies.crossfit import CrossFit
from cascade_exit.policies.objectives import excess, nothing_within, preference
from cascade_exit.policies.operating_points import OperatingPoint
from cascade_exit.policies.risk import RiskControl, RiskLimit
from cascade_exit.policies.scoring import Score
from cascade_exit.policies.selection import Bench, Prepare, best_candidate, judge_families
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.policies.tuning import TunedFamily
from cascade_exit.trace import Trace


@dataclass(frozen=True)
class StaticPoint:
    """A static model on the images that are tuned on."""

    name: str
    ap: float
    cost: float


@dataclass(frozen=True)
class CostTable:
    """What things cost.

    Attributes:
        unit: MACs or ms.
        by_exit: of an image that leaves there.
        full: of the last exit alone, where no other decides on the way.
        statics: for comparison.
        deciding: exits that may stop an image, where the others are passed by; None: all.
    """

    unit: str
    by_exit: Mapping[str, float]
    full: float
    statics: tuple[StaticPoint, ...] = ()
    deciding: tuple[str, ...] | None = None

    @property
    def passed_by(self) -> tuple[str, ...]:
        """Early exits that stop no image."""
        early = tuple(self.by_exit)[:-1]
        return () if self.deciding is None else tuple(name for name in early if name not in self.deciding)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What tuning came to.

    Attributes:
        bench: the images that the families were tuned on.
        costs: of the exits.
        families: all that had something to decide.
        points: the operating point picked of each.
        fair: cross-fitted figures; None where the images are too few. Empty where a risk was limited.
        left_out: why the other families are not there.
        chosen: name of the family.
        policy: what is shipped; None where nothing could be certified.
        warnings: what the user must know.
        control: of the risk, where it was limited.
        certified: the policy on the images behind the certificate.
        note: on which images what was done.
    """

    bench: Bench
    costs: CostTable
    families: dict[str, TunedFamily]
    points: dict[str, OperatingPoint]
    fair: dict[str, CrossFit | None]
    left_out: dict[str, str]
    chosen: str
    policy: Policy | None
    warnings: tuple[str, ...] = ()
    control: RiskControl | None = None
    certified: Score | None = None
    note: str = ""

    @property
    def point(self) -> OperatingPoint:
        """The operating point chosen."""
        return self.points[self.chosen]

    @property
    def choice(self) -> np.ndarray:
        """Exit of every image of the bench at that point."""
        return self.bench.choice(self.families[self.chosen], self.point.thresholds)


def tune_by_objective(
    names: Sequence[str],
    trace: Trace,
    costs: CostTable,
    prepare: Prepare,
    objective: Objective,
    groups: Sequence[str],
    console: Console,
) -> Outcome:
    """The family whose cross-fitted figures serve the objective best, tuned on all images.

    Raises:
        UserError: no family has anything to decide, or the trace cannot be tuned on.
    """
    bench = prepare(trace)
    candidates, left_out = judge_families(names, bench, prepare, objective, groups, console)
    best = best_candidate(list(candidates.values()), objective)
    name = best.family.name
    warnings = []
    if excess(best.point, objective) > 0:
        warnings.append(f"{nothing_within(best.family.points, objective)}; the nearest is taken")
    if best.fair is None:
        warnings.append(f"too few images to cross-fit ({len(trace)}): {name} was chosen on those it was tuned on")
    elif excess(best.fair.score, objective) > 0:
        warnings.append(
            f"cross-fitted, no family is within the limits: {name} comes nearest, with speedup "
            f"{best.fair.score.speedup:.2f} and relative AP drop {best.fair.score.relative_ap_drop:.3f}"
        )
    if best.point.exit_rates[bench.scorer.exit_names[-1]] == 1:
        warnings.append(f"{name} stops no image early: nothing that does keeps within the limits")
    return Outcome(
        bench=bench,
        costs=costs,
        families={name: each.family for name, each in candidates.items()},
        points={name: each.point for name, each in candidates.items()},
        fair={name: each.fair for name, each in candidates.items()},
        left_out=left_out,
        chosen=name,
        policy=_with_aim(best.family.policy(best.point, bench.tuning), objective),
        warnings=tuple(warnings),
    )


def best_outcome(outcomes: Sequence[Outcome], objective: Objective) -> Outcome:
    """The one that serves the objective best, cross-fitted where it could be; the first of equals."""

    def judged(outcome: Outcome) -> tuple[bool, tuple[float, float, float]]:
        fair = outcome.fair[outcome.chosen]
        return fair is None, preference(outcome.point if fair is None else fair.score, objective)

    return min(outcomes, key=judged)


def _with_aim(policy: Policy, objective: Objective) -> Policy:
    """The policy with what it was tuned for on record."""
    limits = {key: value for key, value in asdict(objective).items() if value is not None}
    return replace(policy, tuned_on=policy.tuned_on | limits)


def tune_by_risk(
    names: Sequence[str],
    trace: Trace,
    costs: CostTable,
    prepare: Prepare,
    limit: RiskLimit,
    groups: Sequence[str],
    *,
    calibrated: bool,
) -> Outcome:
    """The family that saves most within the limit, as far as it can be certified.

    A guarantee holds only for images that nothing was fitted to. So the images are cut in two, unless the one family
    asked for is a plain threshold without calibration, which has nothing to fit.

    Raises:
        UserError: no family has anything to decide, or a half of the images cannot be tuned on.
    """
    fits = calibrated or len(names) > 1 or names[0] not in STATISTICS
    half = fitting_half(trace, groups)
    fitted, rest = (trace.subset(np.flatnonzero(half)), trace.subset(np.flatnonzero(~half))) if fits else (trace, trace)
    bench = prepare(fitted)
    candidates, left_out = risk_candidates(names, bench, limit)
    best = best_risk_candidate(candidates)
    found = certify(best, bench.tuning, rest, limit)
    name, points = best.family.name, {name: each.point for name, each in candidates.items()}
    if found.policy is not None:
        thresholds = best.path[found.control.step]
        points[name] = OperatingPoint.at(thresholds, bench.scorer.score(bench.choice(best.family, thresholds)))
    note = (
        f"calibration, rules and family are from {len(fitted)} of {len(trace)} images, the certificate is from the "
        f"other {len(rest)}"
        if fits
        else f"nothing was fitted: the certificate is from all {len(trace)} images"
    )
    return Outcome(
        bench=bench,
        costs=costs,
        families={name: each.family for name, each in candidates.items()},
        points=points,
        fair={},
        left_out=left_out,
        chosen=name,
        policy=found.policy,
        control=found.control,
        certified=found.score,
        note=note,
    )
