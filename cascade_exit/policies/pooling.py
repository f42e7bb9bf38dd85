"""The detections of a trace under a calibration, matched to the truth so that any choice of exits has an AP."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from cascade_exit.evaluation import (
    DetectionArrays,
    ExitMixture,
    ImageTruth,
    Matches,
    match_detections,
)
from cascade_exit.evaluation.quality import outcomes_at_iou_50
from cascade_exit.policies.calibration import ExitCalibration, fit_score_map, fit_temperature
from cascade_exit.trace import DetectionTable, Trace

Calibrations = Mapping[str, ExitCalibration]


class Outcomes(NamedTuple):
    """What became of the detections of one exit, at IoU 0.5, by row of its table.

    Attributes:
        correct: found an object.
        counted: False for detections on a crowd, and beyond the 100 best of an image and class.
    """

    correct: Bool[np.ndarray, " detection"]
    counted: Bool[np.ndarray, " detection"]


def calibrated_scores(detections: DetectionTable, calibration: ExitCalibration | None) -> Float32[np.ndarray, " row"]:
    """Scores of a table's detections; those of the trace where there is no calibration."""
    if calibration is None or not detections.scores.size:
        return detections.scores
    return np.asarray(calibration.scores(detections.logits, detections.labels))


def calibrated_matches(trace: Trace, name: str, calibration: Calibrations | None = None) -> Matches:
    """One exit's detections with calibrated scores, matched to the truth."""
    table = trace.exits[name].detections
    scores = calibrated_scores(table, (calibration or {}).get(name))
    return match_detections(trace.truth, _by_image(trace.truth, table, scores), trace.header.classes)


def pool_exits(trace: Trace, calibration: Calibrations | None = None) -> ExitMixture:
    """All exits of a trace, ready to be mixed."""
    return ExitMixture([calibrated_matches(trace, name, calibration) for name in trace.header.exit_names])


def detection_rows(trace: Trace, name: str) -> Outcomes:
    """What became of each row of an exit's table."""
    table = trace.exits[name].detections
    rows = table.scores.size
    # Scores that say which row they are of; within each image they rank as the exit's own do.
    code = np.arange(rows, 0, -1, dtype=np.float64)
    outcomes = Outcomes(np.zeros(rows, bool), np.zeros(rows, bool))
    for of_class in match_detections(trace.truth, _by_image(trace.truth, table, code), trace.header.classes).classes:
        place = rows - of_class.scores.astype(np.int64)
        outcomes.correct[place], outcomes.counted[place] = outcomes_at_iou_50(of_class)
    return outcomes


def fit_calibration(trace: Trace, *, temperature: bool = True, harmonise: bool = True) -> dict[str, ExitCalibration]:
    """A calibration for every exit of a trace, the last included.

    Args:
        trace: of the calibrate role.
        temperature: divide the logits.
        harmonise: map the scores, so that they mean the same at every exit.
    """
    fitted = {}
    for name in trace.header.exit_names:
        table, outcomes = trace.exits[name].detections, detection_rows(trace, name)
        rows = outcomes.counted
        logits, labels, correct = table.logits[rows], table.labels[rows], outcomes.correct[rows]
        only = ExitCalibration(fit_temperature(logits, labels, correct) if temperature else 1.0)
        knots = None
        if harmonise and correct.size:
            knots = fit_score_map(np.asarray(only.scores(logits, labels)), correct)
        fitted[name] = ExitCalibration(only.temperature, knots)
    return fitted


def _by_image(
    truth: Sequence[ImageTruth], table: DetectionTable, scores: Float[np.ndarray, " row"]
) -> dict[int, DetectionArrays]:
    parts = [slice(first, last) for first, last in pairwise(table.offsets)]
    return {
        image.image_id: DetectionArrays(table.boxes[part], scores[part], table.labels[part])
        for image, part in zip(truth, parts, strict=True)
    }
