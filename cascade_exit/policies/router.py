"""Fits the learned router: what would going on gain for this image, seen from the digest alone?

The target is the marginal AP of going on (see `marginal_gains`), and the price is the measured cost of going on.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from cascade_exit.evaluation import Matches
from cascade_exit.model import FULL
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.features import router_features
from cascade_exit.policies.fitting import all_images, digests_at, numbers, standardised
from cascade_exit.policies.marginal import marginal_gains
from cascade_exit.policies.rules import RouterRule
from cascade_exit.policies.statistics import COMPARISONS, STATISTICS, check_statistic
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

BOXES = 5
FOLDS = 5
# Tried from strong to weak; in images, so that it means the same for few and for many.
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)


def fit_router(
    trace: Trace,
    matches_by_exit: Sequence[Matches],
    exit_name: str,
    costs: Mapping[str, float | int],
    statistics: Sequence[str] | None = None,
    calibration: Mapping[str, ExitCalibration] | None = None,
    images: Bool[np.ndarray, " image"] | None = None,
    to: str = FULL,
    contexts: int = 4,
    seed: int = 0,
) -> RouterRule:
    """Fits a router by ridge regression; the same input gives the same rule.

    The penalty is chosen by cross-validation over blocks of neighbouring images (bursts of photos stay together).
    Unless the best one beats the constant prediction beyond its own standard error, all weights are zero: the digest
    says nothing about the gain, and the rule values all images the same.

    Args:
        trace: of the calibrate role.
        matches_by_exit: the trace's detections, with calibrated scores, matched; in the order of the exits.
        exit_name: the exit that the rule is for.
        costs: of an image that leaves at each exit, in any unit.
        statistics: names; all that the exit can have where None.
        calibration: of the policy that the rule will be part of.
        images: fit to these alone; all where None.
        to: where an image that goes on ends.
        contexts: see `marginal_gains`.
        seed: see `marginal_gains`.

    Raises:
        ValueError: an unknown statistic.
        UserError: the trace holds no image or nothing to be found, a statistic is no number, or costs do not rise.
    """
    names = trace.header.exit_names
    digest, previous = digests_at(trace, exit_name, calibration)
    if statistics is None:
        statistics = [name for name in STATISTICS if previous is not None or name not in COMPARISONS]
    for name in statistics:
        check_statistic(name)
    cost = _cost_of_going_on(costs, exit_name, to)
    chosen = all_images(trace, images)
    features, means, scales = standardised(router_features(digest, previous, statistics, BOXES), chosen)
    gains = marginal_gains(matches_by_exit, names.index(exit_name), names.index(to), contexts, seed, chosen)[chosen]
    if not np.isfinite(gains).all():
        raise UserError(f"the images of {trace.header.role} hold no object: average precision cannot be gained")
    weights, bias = _fit_ridge(features, gains)
    return RouterRule(tuple(statistics), BOXES, numbers(means), numbers(scales), numbers(weights), bias, cost)


def _cost_of_going_on(costs: Mapping[str, float | int], exit_name: str, to: str) -> float:
    share = (costs[to] - costs[exit_name]) / costs[FULL]
    if not share > 0:
        raise UserError(
            f"going on from {exit_name} to {to} must cost something, got {costs[exit_name]:.6g} and {costs[to]:.6g}"
        )
    return share


def _fit_ridge(
    features: Float[np.ndarray, "image feature"], gains: Float[np.ndarray, " image"]
) -> tuple[Float[np.ndarray, " feature"], float]:
    nothing = np.zeros(features.shape[1]), float(gains.mean())
    if len(gains) < 2 * FOLDS:
        return nothing
    errors = _held_out_errors(features, gains)
    best = int(errors[1:].mean(axis=1).argmin())
    better = errors[0] - errors[1 + best]
    if not better.mean() > better.std() / np.sqrt(len(gains)):
        return nothing
    return _ridge(features, gains, PENALTIES[best])


def _held_out_errors(features: np.ndarray, gains: np.ndarray) -> Float[np.ndarray, "prediction image"]:
    """Squared errors on held-out images: of the constant prediction, then of each penalty."""
    errors = np.zeros((1 + len(PENALTIES), len(gains)))
    for block in np.array_split(np.arange(len(gains)), FOLDS):
        rest = np.ones(len(gains), dtype=bool)
        rest[block] = False
        errors[0, block] = (gains[block] - gains[rest].mean()) ** 2
        for row, penalty in enumerate(PENALTIES, start=1):
            weights, bias = _ridge(features[rest], gains[rest], penalty)
            errors[row, block] = (gains[block] - features[block] @ weights - bias) ** 2
    return errors


def _ridge(features: np.ndarray, gains: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    means = features.mean(axis=0)
    centred = features - means
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (gains - gains.mean()))
    return weights, float(gains.mean() - means @ weights)
