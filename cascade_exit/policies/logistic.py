"""Fits the logistic rule: how likely an exit is as good as the full one, from several statistics."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from cascade_exit.model import FULL
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.features import statistics_of
from cascade_exit.policies.fitting import all_images, digests_at, numbers, standardised
from cascade_exit.policies.rules import LogisticRule
from cascade_exit.policies.statistics import check_statistic
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

# Prior precision of the scaled weights: keeps them finite where the statistics tell the two sides apart.
RIDGE = 1.0
_STEPS = 50


def as_good_as_full(
    trace: Trace, exit_name: str, measure: Literal["f1", "recall"] = "f1"
) -> Bool[np.ndarray, " image"]:
    """Whether an exit's answer is at least as good as the full exit's.

    Images with objects are compared by the measure, images without by false positives.
    """
    quality, full = trace.exits[exit_name].quality, trace.exits[FULL].quality
    ours, theirs = (np.asarray(getattr(each, measure)) for each in (quality, full))
    return np.where(np.isnan(theirs), quality.false_positives <= full.false_positives, ours >= theirs)


def fit_logistic(
    trace: Trace,
    exit_name: str,
    statistics: Sequence[str],
    target: Bool[np.ndarray, " image"],
    calibration: Mapping[str, ExitCalibration] | None = None,
    images: Bool[np.ndarray, " image"] | None = None,
) -> LogisticRule:
    """Fits a logistic rule by penalised maximum likelihood; the same input gives the same rule.

    Args:
        trace: of the calibrate role.
        exit_name: the exit that the rule is for.
        statistics: names.
        target: for which images it is right to stop; see `as_good_as_full`.
        calibration: of the policy that the rule will be part of.
        images: fit to these alone; all where None.

    Raises:
        ValueError: an unknown statistic.
        UserError: the trace holds no image, no statistic is given or one is constant or no number, or the target is
            the same for all.
    """
    if not statistics:
        raise UserError(f"{exit_name}: no statistic tells its images apart, so a logistic rule has nothing to learn")
    for name in statistics:
        check_statistic(name)
    chosen = all_images(trace, images)
    digest, previous = digests_at(trace, exit_name, calibration)
    features, means, scales = standardised(statistics_of(digest, previous, statistics), chosen)
    _check_varies(features, statistics, exit_name)
    wanted = target[chosen]
    if wanted.all() or not wanted.any():
        raise UserError(
            f"{exit_name}: stopping is {'right' if wanted.all() else 'wrong'} for all {wanted.size} images, so a "
            "logistic rule has nothing to learn: use a threshold"
        )
    solution = maximum_likelihood(features, wanted.astype(np.float64))
    return LogisticRule(
        tuple(statistics), numbers(means), numbers(scales), numbers(solution[1:]), bias=float(solution[0])
    )


def _check_varies(features: np.ndarray, statistics: Sequence[str], exit_name: str) -> None:
    for name, column in zip(statistics, features.T, strict=True):
        if np.ptp(column) < 1e-6:
            raise UserError(f"{exit_name}: {name} is the same for all {len(column)} images: leave it out")


def maximum_likelihood(
    features: Float[np.ndarray, "image feature"], target: Float[np.ndarray, " image"], precision: float = RIDGE
) -> Float[np.ndarray, " parameter"]:
    """Bias and weights of a logistic regression by Newton's method with halved steps; the bias is not penalised.

    Args:
        features: of mean 0 and deviation 1; see `standardised`.
        target: 1 or 0.
        precision: prior precision of the weights.
    """
    design = np.column_stack([np.ones(len(features)), features])
    ridge = np.full(design.shape[1], precision)
    ridge[0] = 0.0
    solution = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-design @ solution))
        slope = design.T @ (target - probability) - ridge * solution
        curvature = (design.T * (probability * (1 - probability))) @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        while _loss(design, target, ridge, solution + step) > _loss(design, target, ridge, solution) + 1e-12:
            step = step / 2
        solution = solution + step
        if np.abs(step).max() < 1e-10:
            break
    return solution


def _loss(design: np.ndarray, target: np.ndarray, ridge: np.ndarray, solution: np.ndarray) -> float:
    odds = design @ solution
    return float(np.logaddexp(0, odds).sum() - target @ odds + 0.5 * ridge @ solution**2)
