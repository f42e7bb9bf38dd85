"""A policy with a guarantee: rules, calibration and family from one half of the images, the proof from the other."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from cascade_exit.data.randomness import unit_hash
from cascade_exit.evaluation import Quality, image_quality
from cascade_exit.policies.operating_points import OperatingPoint, choose_exits, rule_values
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.pooling import Calibrations, calibrated_matches
from cascade_exit.policies.risk import RiskControl, RiskLimit, control_risk, threshold_path
from cascade_exit.policies.scoring import Score
from cascade_exit.policies.selection import Bench
from cascade_exit.policies.tuning import PLAN, TunedFamily, Tuning, tune_family
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace


@dataclass(frozen=True, eq=False)
class RiskCandidate:
    """A family along its path of thresholds, on the images that it was fitted to.

    Attributes:
        family: with its rules.
        path: thresholds from safest to boldest.
        point: the boldest step whose loss stays within the limit in expectation.
        control: how that was found.
    """

    family: TunedFamily
    path: tuple[dict[str, float], ...]
    point: OperatingPoint
    control: RiskControl


@dataclass(frozen=True, eq=False)
class Certified:
    """What the images that nothing was fitted to say.

    Attributes:
        control: the step reached, and the certificate or why there is none.
        policy: the step's, with the certificate; None where there is none.
        score: of the step, on these images; None likewise.
    """

    control: RiskControl
    policy: Policy | None
    score: Score | None


def fitting_half(trace: Trace, groups: Sequence[str] | None = None) -> Bool[np.ndarray, " image"]:
    """Half of the images, by a stable hash of each image's group (of its id where there are no groups)."""
    names = groups if groups is not None else [image.image_id for image in trace.truth]
    return np.array([unit_hash("certify", name) < 0.5 for name in names], bool)


def risk_candidates(
    names: Collection[str], bench: Bench, limit: RiskLimit
) -> tuple[dict[str, RiskCandidate], dict[str, str]]:
    """How far each family may go on the images that it is fitted to, by conformal risk control.

    Args:
        names: see `family_names`. The plan's is left out: it has no path of thresholds.
        bench: of the images to fit to.
        limit: what may be lost.

    Returns:
        Candidates by family, and why the others are left out.

    Raises:
        UserError: all are left out.
    """
    candidates: dict[str, RiskCandidate] = {}
    left_out: dict[str, str] = {}
    for name in names:
        if name == PLAN:
            left_out[name] = "its few thresholds are no path from safe to bold"
            continue
        try:
            family = tune_family(name, bench.tuning, bench.scorer)
        except UserError as error:
            left_out[name] = str(error)
            continue
        candidates[name] = _along_path(family, bench, limit)
    if not candidates:
        raise UserError(f"risk: no family can be certified ({'; '.join(left_out.values())})")
    return candidates, left_out


def best_risk_candidate(candidates: dict[str, RiskCandidate]) -> RiskCandidate:
    """The one with the highest speedup; of equal ones the highest AP, then the smallest loss."""
    return max(candidates.values(), key=lambda each: (each.point.speedup, each.point.ap, -each.control.mean_loss))


def certify(candidate: RiskCandidate, tuning: Tuning, trace: Trace, limit: RiskLimit) -> Certified:
    """Goes down a candidate's path as far as the images of a trace prove it.

    Args:
        candidate: from `risk_candidates`.
        tuning: that it was fitted in; its calibration is the policy's.
        trace: images that nothing was fitted to.
        limit: what may be lost.
    """
    choices = _choices(candidate.family, candidate.path, tuning, trace)
    qualities = calibrated_qualities(trace, tuning.calibration)
    control = control_risk(qualities, choices, limit, trace.header.score_threshold)
    if control.certificate is None:
        return Certified(control, None, None)
    score = tuning.scorer(trace).score(choices[control.step])
    point = OperatingPoint.at(candidate.path[control.step], score)
    policy = replace(candidate.family.policy(point, tuning), certificate=control.certificate.facts())
    return Certified(control, policy, score)


def calibrated_qualities(trace: Trace, calibration: Calibrations) -> list[Quality]:
    """Quality of every exit's answers with the scores that the runner will give them, at the trace's threshold."""
    threshold = trace.header.score_threshold
    return [image_quality(calibrated_matches(trace, name, calibration), threshold) for name in trace.header.exit_names]


def _along_path(family: TunedFamily, bench: Bench, limit: RiskLimit) -> RiskCandidate:
    tuning, scorer = bench.tuning, bench.scorer
    path = threshold_path(rule_values(tuning.trace, family.rules, tuning.calibration))
    choices = _choices(family, path, tuning, tuning.trace)
    qualities = calibrated_qualities(tuning.trace, tuning.calibration)
    control = control_risk(qualities, choices, replace(limit, delta=None), tuning.trace.header.score_threshold)
    point = OperatingPoint.at(path[control.step], scorer.score(choices[control.step]))
    return RiskCandidate(family, path, point, control)


def _choices(
    family: TunedFamily, path: Sequence[dict[str, float]], tuning: Tuning, trace: Trace
) -> Int[np.ndarray, "step image"]:
    values = rule_values(trace, family.rules, tuning.calibration)
    return np.stack([choose_exits(trace.header.exit_names, values, thresholds) for thresholds in path])
