"""Fits the per-class rule: from which score on is a detection of a class more likely right than wrong?

A class's own threshold is noise where the class is rare. So it is shrunk towards the one for all classes together, with
the weight n / (n + k) for a class of which n objects were found (credibility; Bühlmann, ASTIN Bulletin 1967; for why
that beats both extremes, Efron and Morris, JASA 1975). The strength k is not assumed but chosen by cross-validation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.data.randomness import unit_hash
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.pooling import detection_rows
from cascade_exit.policies.rules import PerClassRule
from cascade_exit.trace import Trace

# From own thresholds alone to the one for all classes.
STRENGTHS = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0, math.inf)
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Detected:
    """Detections of one exit that thresholds are fitted to; those on a crowd are left out.

    Attributes:
        scores: as the rule sees them.
        labels: 1-based class labels.
        correct: whether each found an object at IoU 0.5.
        fold: of the image that each is in.
        classes: number of classes.
    """

    scores: Float[np.ndarray, " detection"]
    labels: Int[np.ndarray, " detection"]
    correct: Bool[np.ndarray, " detection"]
    fold: Int[np.ndarray, " detection"]
    classes: int

    def some(self, kept: Bool[np.ndarray, " detection"]) -> "Detected":
        """Some of them."""
        return Detected(self.scores[kept], self.labels[kept], self.correct[kept], self.fold[kept], self.classes)


@dataclass(frozen=True, eq=False)
class ClassCuts:
    """Thresholds of the scores before they are shrunk.

    Attributes:
        shared: of all classes together.
        own: of label i+1 at place i; the shared one where nothing of the class was found.
        found: objects of each class that were found.
    """

    shared: float
    own: Float[np.ndarray, " class_"]
    found: Int[np.ndarray, " class_"]

    @classmethod
    def of(cls, detected: Detected) -> "ClassCuts":
        """Those with the fewest mistakes."""
        shared = fewest_mistakes(detected.scores, detected.correct)
        own, found = np.full(detected.classes, shared), np.zeros(detected.classes, np.int64)
        for index in range(detected.classes):
            of_class = detected.labels == index + 1
            found[index] = int(detected.correct[of_class].sum())
            if found[index]:
                own[index] = fewest_mistakes(detected.scores[of_class], detected.correct[of_class])
        return cls(shared, own, found)

    def shrunk(self, strength: float) -> Float[np.ndarray, " class_"]:
        """Thresholds where the shared one is worth `strength` objects found: 0, the own ones; infinite, the shared."""
        if math.isinf(strength):
            return np.full(self.own.shape, self.shared)
        share = self.found / np.maximum(self.found + strength, 1e-9)
        return share * self.own + (1 - share) * self.shared


def fit_per_class(
    trace: Trace,
    exit_name: str,
    calibration: Mapping[str, ExitCalibration] | None = None,
    strength: float | None = None,
) -> PerClassRule:
    """Fits a threshold per class, shrunk towards the one for all classes where a class is rare.

    Args:
        trace: of the calibrate role.
        exit_name: the exit that the rule is for.
        calibration: of the policy that the rule will be part of.
        strength: see `ClassCuts.shrunk`; chosen by cross-validation where None.
    """
    detected = detected_at(trace, exit_name, calibration)
    chosen = choose_strength(detected) if strength is None else strength
    return PerClassRule(tuple(ClassCuts.of(detected).shrunk(chosen).tolist()))


def detected_at(trace: Trace, exit_name: str, calibration: Mapping[str, ExitCalibration] | None = None) -> Detected:
    """What thresholds at an exit are fitted to."""
    table, outcomes = trace.exits[exit_name].detections, detection_rows(trace, exit_name)
    known = (calibration or {}).get(exit_name, ExitCalibration())
    # What the rule sees has the temperature, but not the map of kept detections' scores.
    scores = np.asarray(ExitCalibration(known.temperature).scores(table.logits, table.labels), np.float64)
    folds = [int(unit_hash("per_class", image.image_id) * FOLDS) for image in trace.truth]
    fold = np.repeat(np.array(folds, np.int64), np.diff(table.offsets))
    every = Detected(scores, table.labels.astype(np.int64), outcomes.correct, fold, len(trace.header.classes))
    return every.some(outcomes.counted)


def choose_strength(detected: Detected) -> float:
    """The strength whose thresholds make the fewest mistakes on images that they were not fitted to.

    Of equals the strongest is taken: where nothing speaks for own thresholds, there are none.
    """
    if detected.classes == 1:
        return math.inf
    mistakes = np.zeros(len(STRENGTHS), np.int64)
    for left_out in np.unique(detected.fold):
        cuts = ClassCuts.of(detected.some(detected.fold != left_out))
        unseen = detected.some(detected.fold == left_out)
        for place, strength in enumerate(STRENGTHS):
            wanted = cuts.shrunk(strength)[unseen.labels - 1]
            mistakes[place] += int(((unseen.scores >= wanted) != unseen.correct).sum())
    return max(strength for strength, made in zip(STRENGTHS, mistakes, strict=True) if made == mistakes.min())


def fewest_mistakes(scores: Float[np.ndarray, " detection"], correct: Bool[np.ndarray, " detection"]) -> float:
    """The score that parts correct from wrong detections with the fewest mistakes; 0.5 where none is correct."""
    if not correct.any():
        return 0.5
    order = np.argsort(scores, kind="stable")
    ordered, right = scores[order], correct[order]
    # Below the cut: correct ones are mistakes; from it on: wrong ones.
    mistakes = np.concatenate([[0], np.cumsum(right)]) + np.concatenate([np.cumsum(~right[::-1])[::-1], [0]])
    cut = int(mistakes.argmin())
    return float(ordered[cut]) if cut < len(ordered) else 1.0
