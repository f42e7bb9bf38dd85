import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from cascade_exit.evaluation import (
    DetectionArrays,
    ImageTruth,
    calibration_errors,
    detection_outcomes,
    expected_calibration_error,
    match_detections,
    negative_log_likelihood,
)


def test_ece_is_that_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 3, 2000)
    correct = rng.random(2000) < scores**2
    theirs = binary_calibration_error(torch.tensor(scores), torch.tensor(correct), n_bins=15)
    assert expected_calibration_error(scores, correct) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_by_hand() -> None:
    scores = np.array([0.0, 0.01, 0.5, 0.95, 1.0])
    correct = np.array([False, False, True, True, False])
    assert expected_calibration_error(scores, correct) == pytest.approx((0.01 + 0.5 + 0.95) / 5)


def test_nll_is_binary_cross_entropy_and_finite() -> None:
    rng = np.random.default_rng(1)
    scores, correct = rng.random(500), rng.random(500) < 0.3
    theirs = torch.nn.functional.binary_cross_entropy(torch.tensor(scores), torch.tensor(correct, dtype=torch.float64))
    assert negative_log_likelihood(scores, correct) == pytest.approx(float(theirs))
    assert math.isfinite(negative_log_likelihood(np.array([1.0, 0.0]), np.array([False, True])))


def test_outcomes_of_detections() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [50, 50, 90, 90]])
    truth = ImageTruth(1, 99, 99, boxes, np.array([1, 1]), np.array([False, True]), np.array([100.0, 1600.0]))
    # In turn: at IoU 0.6, a second one on the same object, inside the crowd, on nothing, another class.
    found = np.array([[0.0, 0, 10, 6], [0, 0, 10, 10], [60, 60, 70, 70], [20, 20, 40, 40], [0, 0, 10, 10]])
    detections = {1: DetectionArrays(found, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 1, 1, 1, 2]))}
    matches = match_detections([truth], detections, ("chair", "table"))
    scores, correct = detection_outcomes(matches)
    assert dict(zip(scores.tolist(), correct.tolist(), strict=True)) == {0.9: True, 0.8: False, 0.6: False, 0.5: False}
    assert calibration_errors(matches) == {
        "ece": pytest.approx((0.1 + 0.8 + 0.6 + 0.5) / 4),
        "nll": pytest.approx(-np.log([0.9, 0.2, 0.4, 0.5]).mean()),
    }
    assert calibration_errors(match_detections([truth], {}, ("chair", "table"))) == {}
