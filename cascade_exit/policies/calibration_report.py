"""What a calibration is worth: errors of each exit, and AP of mixtures of exits, before and after."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from cascade_exit.evaluation import ExitMixture, expected_calibration_error, mixture_ap, negative_log_likelihood
from cascade_exit.policies.pooling import (
    Calibrations,
    Outcomes,
    calibrated_scores,
    detection_rows,
    pool_exits,
)
from cascade_exit.trace import Trace

POOLED_DRAWS = 20
# Bins over score, x and y of the centre, width and height.
DETECTION_BINS = (8, 3, 3, 3, 3)


@dataclass(frozen=True)
class CalibrationErrors:
    """Of "this detection is correct at IoU 0.5", over kept detections, those on a crowd left out.

    Attributes:
        nll: negative log likelihood, nats.
        ece: expected calibration error over bins of the score.
        detection_ece: over bins of score, position and size; see `detection_calibration_error`.
    """

    nll: float
    ece: float
    detection_ece: float


@dataclass(frozen=True)
class ExitCalibrationReport:
    """One exit before and after; None where it has no detection."""

    before: CalibrationErrors | None
    after: CalibrationErrors | None
    detections: int
    correct: int


@dataclass(frozen=True)
class CalibrationReport:
    """All exits, and their detections in one pool.

    Attributes:
        exits: by exit name.
        pooled_ap_before: mean AP where every image is answered by an exit drawn at random, all equally likely.
        pooled_ap_after: the same draws, scores calibrated.
    """

    exits: dict[str, ExitCalibrationReport]
    pooled_ap_before: float
    pooled_ap_after: float


def report_calibration(trace: Trace, calibration: Calibrations, seed: int = 0) -> CalibrationReport:
    """Measures a calibration on a trace.

    On the trace it was fitted to, the figures after are a little too good; on another role they are fair.

    Args:
        trace: where to measure.
        calibration: by exit name.
        seed: of the draws of exits.
    """
    exits = {name: _exit_report(trace, name, calibration) for name in trace.header.exit_names}
    rng = np.random.default_rng(seed)
    choices = rng.integers(0, len(exits), (POOLED_DRAWS, len(trace)))
    before, after = (_mean_ap(pool_exits(trace, used), choices) for used in (None, calibration))
    return CalibrationReport(exits, before, after)


def detection_calibration_error(
    scores: Float[np.ndarray, " detection"],
    correct: Bool[np.ndarray, " detection"],
    boxes: Float[np.ndarray, "detection 4"],
    sizes: Float[np.ndarray, "detection 2"],
    bins: tuple[int, ...] = DETECTION_BINS,
) -> float:
    """D-ECE: mean distance of score and frequency over bins of score and box (Kueppers et al., CVPR Workshops 2020).

    A detector may be calibrated on the whole and yet be too sure of small boxes or of those at the border. So bins
    are cut in five dimensions: score, and centre x, centre y, width and height as shares of the image. It is never
    below the plain error over the same score bins. With few detections per bin it is biased upwards: compare only
    figures of one set.

    Args:
        scores: in [0, 1], at least one.
        correct: what each score foretold.
        boxes: xyxy, pixels.
        sizes: height and width of each detection's image, pixels.
        bins: per dimension, of equal width over [0, 1].
    """
    width_height = sizes[:, ::-1].astype(np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / width_height
    extent = (boxes[:, 2:] - boxes[:, :2]) / width_height
    values = np.concatenate([scores[:, None], centre, extent], axis=1)
    places = np.clip((values * bins).astype(np.int64), 0, np.array(bins) - 1)
    cell = np.ravel_multi_index(tuple(places.T), bins)
    gap = np.bincount(cell, weights=scores - correct)
    return float(np.abs(gap).sum() / scores.size)


def _exit_report(trace: Trace, name: str, calibration: Calibrations) -> ExitCalibrationReport:
    outcomes = detection_rows(trace, name)
    before, after = (_errors(trace, name, outcomes, used) for used in ({}, calibration))
    counted = outcomes.counted
    return ExitCalibrationReport(before, after, int(counted.sum()), int(outcomes.correct[counted].sum()))


def _errors(trace: Trace, name: str, outcomes: Outcomes, calibration: Calibrations) -> CalibrationErrors | None:
    table, rows = trace.exits[name].detections, outcomes.counted
    if not rows.any():
        return None
    scores = calibrated_scores(table, calibration.get(name)).astype(np.float64)[rows]
    correct = outcomes.correct[rows]
    sizes = np.array([(image.height, image.width) for image in trace.truth], np.float64)
    of_row = np.repeat(sizes, np.diff(table.offsets), axis=0)[rows]
    return CalibrationErrors(
        negative_log_likelihood(scores, correct),
        expected_calibration_error(scores, correct),
        detection_calibration_error(scores, correct, table.boxes[rows], of_row),
    )


def _mean_ap(mixture: ExitMixture, choices: np.ndarray) -> float:
    return float(np.mean([mixture_ap(mixture, choice) for choice in choices]))
