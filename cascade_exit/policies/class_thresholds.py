"""Do thresholds per class help on unseen images, and must they be shrunk? Cross-fitted, against one for all classes."""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from cascade_exit.evaluation import resampled_weights
from cascade_exit.evaluation.class_averages import class_averages, mean_over_classes
from cascade_exit.policies.fair import Folds, Measuring, crossfit_answers
from cascade_exit.policies.per_class import ClassCuts, choose_strength, detected_at
from cascade_exit.policies.reporting import Answers, Figures, known_intervals

VARIANTS = {"shared": "per_class_shared", "own": "per_class_own", "shrunk": "per_class"}
Verdict = Literal["helps", "harms", "trades", "not told apart"]


def compare_class_thresholds(measuring: Measuring, drop: float) -> Figures:
    """The class_thresholds part of metrics.json.

    The rule is the same in all variants (each of the best boxes must pass the threshold of its class); thresholds of
    scores are fitted, and the margin is tuned, without the image that is decided. Differences are against the shared
    threshold, on the same resampled images.

    Args:
        measuring: on what; more than one class.
        drop: limit of the relative AP drop that the margin is tuned for.
    """
    folds = Folds(measuring)
    answers = {name: crossfit_answers(family, measuring, drop, folds) for name, family in VARIANTS.items()}
    figures: Figures = {"limit": drop, "exits": _thresholds(measuring, folds)}
    figures |= {name: measuring.figures(found) for name, found in answers.items()}
    shared = answers.pop("shared")
    figures["differences"] = {name: _difference(found, shared, measuring) for name, found in answers.items()}
    return figures


def _thresholds(measuring: Measuring, folds: Folds) -> dict[str, Figures]:
    """Of each early exit, fitted to all images; without a strength where all classes share one threshold."""
    header, found = measuring.trace.header, {}
    for name in header.exit_names[:-1]:
        detected = detected_at(measuring.trace, name, folds.calibration)
        cuts, strength = ClassCuts.of(detected), choose_strength(detected)
        by_class = dict(zip(header.classes, cuts.shrunk(strength).tolist(), strict=True))
        known = {} if math.isinf(strength) else {"strength": strength}
        found[name] = {"shared": cuts.shared, **known, "shrunk": by_class}
    return found


def _difference(answers: Answers, shared: Answers, measuring: Measuring) -> Figures:
    images = answers.choice.size
    drawn = resampled_weights(images, measuring.resamples, groups=measuring.groups) if measuring.resamples else ()
    weights = np.stack([np.ones(images, np.int64), *drawn])
    figures = {
        "AP": _pooled(answers, weights) - _pooled(shared, weights),
        "speedup_macs": measuring.static.cost / _costs(answers, weights)
        - measuring.static.cost / _costs(shared, weights),
    }
    own: Figures = {name: float(values[0]) for name, values in figures.items()}
    intervals = known_intervals({name: values[1:] for name, values in figures.items()})
    return own | (
        {"intervals": intervals, "verdict": verdict(intervals["AP"], intervals["speedup_macs"])} if intervals else {}
    )


def verdict(ap: tuple[float, float], speedup: tuple[float, float]) -> Verdict:
    """What intervals of the differences of AP and speedup say."""
    better, worse = ap[0] > 0 or speedup[0] > 0, ap[1] < 0 or speedup[1] < 0
    if better and worse:
        return "trades"
    return "helps" if better else "harms" if worse else "not told apart"


def _pooled(answers: Answers, weights: np.ndarray) -> Float[np.ndarray, " set"]:
    return mean_over_classes(class_averages(answers.matches, weights).ap)


def _costs(answers: Answers, weights: np.ndarray) -> Float[np.ndarray, " set"]:
    return weights @ answers.costs[answers.choice] / weights.sum(axis=1)
