"""Fits the per-class rule: from which score on is a detection of a class more likely right than wrong?"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.pooling import detection_rows
from cascade_exit.policies.rules import PerClassRule
from cascade_exit.trace import Trace

# A class's own threshold counts as much as that of all classes together once it has so many correct detections.
PRIOR_CORRECT = 20.0


def fit_per_class(
    trace: Trace, exit_name: str, calibration: Mapping[str, ExitCalibration] | None = None
) -> PerClassRule:
    """Fits a threshold per class, shrunk towards the one for all classes where a class is rare.

    Args:
        trace: of the calibrate role.
        exit_name: the exit that the rule is for.
        calibration: of the policy that the rule will be part of.
    """
    table, outcomes = trace.exits[exit_name].detections, detection_rows(trace, exit_name)
    known = (calibration or {}).get(exit_name, ExitCalibration())
    # What the rule sees has the temperature, but not the map of kept detections' scores.
    scores = np.asarray(ExitCalibration(known.temperature).scores(table.logits, table.labels), np.float64)
    of_all = _threshold(scores[outcomes.counted], outcomes.correct[outcomes.counted])
    thresholds = []
    for label in range(1, len(trace.header.classes) + 1):
        own = outcomes.counted & (table.labels == label)
        found = int(outcomes.correct[own].sum())
        share = found / (found + PRIOR_CORRECT)
        thresholds.append(share * _threshold(scores[own], outcomes.correct[own]) + (1 - share) * of_all)
    return PerClassRule(tuple(thresholds))


def _threshold(scores: Float[np.ndarray, " detection"], correct: Bool[np.ndarray, " detection"]) -> float:
    """The score that parts correct from wrong detections with the fewest mistakes; 0.5 where there are none."""
    if not correct.any():
        return 0.5
    order = np.argsort(scores, kind="stable")
    ordered, right = scores[order], correct[order]
    # Below the cut: correct ones are mistakes; from it on: wrong ones.
    mistakes = np.concatenate([[0], np.cumsum(right)]) + np.concatenate([np.cumsum(~right[::-1])[::-1], [0]])
    cut = int(mistakes.argmin())
    return float(ordered[cut]) if cut < len(ordered) else 1.0
