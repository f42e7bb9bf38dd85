import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import calibration_errors, detection_outcomes, mixture_ap
from cascade_exit.policies.calibration import (
    TEMPERATURE_RANGE,
    ExitCalibration,
    _pool_adjacent_violators,
    fit_score_map,
    fit_temperature,
)
from cascade_exit.policies.calibration_report import detection_calibration_error, report_calibration
from cascade_exit.policies.pooling import calibrated_matches, detection_rows, fit_calibration, pool_exits
from cascade_exit.runs import build, to_plain

from .synthetic import make_trace

MAP = ((0.0, 0.0), (0.3, 0.1), (0.6, 0.5), (1.0, 0.9))


def binary_logits(log_odds: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros_like(log_odds), log_odds], axis=1).astype(np.float32)


def test_scores_by_hand() -> None:
    logits = np.array([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]], np.float32)
    labels = np.array([1, 2])
    half = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    expected = half[[0, 1], labels]
    np.testing.assert_allclose(ExitCalibration(2.0).scores(logits, labels), expected, rtol=1e-6)
    x, y = zip(*MAP, strict=True)
    np.testing.assert_allclose(ExitCalibration(2.0, MAP).scores(logits, labels), np.interp(expected, x, y), rtol=1e-6)


def test_arrays_and_tensors_in_any_batch_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 4, (501, 14)).astype(np.float32), rng.integers(1, 14, 501)
    calibration = ExitCalibration(1.7, MAP)
    arrays = calibration.scores(logits, labels)
    tensors = calibration.scores(torch.tensor(logits), torch.tensor(labels))
    assert arrays.dtype == np.float32
    assert np.array_equal(arrays, tensors.numpy())
    one_by_one = [float(calibration.scores(logits[row : row + 1], labels[row : row + 1])[0]) for row in range(501)]
    assert np.array_equal(arrays, np.array(one_by_one, np.float32))


def test_no_calibration_gives_the_scores_of_the_trace() -> None:
    table = make_trace(20, classes=3).exits["full"].detections
    assert np.array_equal(ExitCalibration().scores(table.logits, table.labels), table.scores)


def test_digest_at_a_temperature_keeps_scalars() -> None:
    digest = make_trace(3).exits["exit1"].digest
    cooled = ExitCalibration(2.0, MAP).digest(digest)
    assert torch.equal(cooled.logits, digest.logits / 2)
    assert torch.equal(cooled.mean_confidence, digest.mean_confidence)


def test_survives_json() -> None:
    calibration = ExitCalibration(1.3, MAP)
    assert build(ExitCalibration, to_plain(calibration)) == calibration


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"score_map": ((0.0, 0.0), (0.5, 0.5))}, "score_map must go from score 0 to score 1"),
        ({"score_map": ((0.0, 0.2), (0.5, 0.2), (1.0, 1.0))}, "score_map must be strictly increasing"),
        ({"score_map": ((0.0, 0.0), (1.0, 1.5))}, r"score_map must stay in \[0, 1\]"),
    ],
)
def test_wrong_numbers_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExitCalibration(**arguments)


@pytest.mark.parametrize("truly", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(truly: float) -> None:
    rng = np.random.default_rng(3)
    log_odds = rng.normal(-1, 2, 6000)
    correct = rng.random(6000) < 1 / (1 + np.exp(-log_odds))
    found = fit_temperature(binary_logits(log_odds * truly), np.ones(6000, int), correct)
    assert found == pytest.approx(truly, rel=0.08)


def test_temperature_is_the_best_of_a_fine_grid_and_bounded() -> None:
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(0, 3, (400, 4)).astype(np.float32), rng.integers(1, 4, 400)
    correct = rng.random(400) < 0.3

    def loss(temperature: float) -> float:
        score = ExitCalibration(temperature).scores(logits, labels).astype(np.float64)
        return float(-np.log(np.where(correct, score, 1 - score)).mean())

    with np.errstate(divide="ignore"):
        best = min(loss(at) for at in np.geomspace(*TEMPERATURE_RANGE, 800))
    assert loss(fit_temperature(logits, labels, correct)) <= best + 1e-6
    sure = np.full(50, 2.0)
    assert fit_temperature(binary_logits(sure), np.ones(50, int), np.arange(50) % 2 == 0) == TEMPERATURE_RANGE[1]
    assert fit_temperature(binary_logits(sure), np.ones(50, int), np.ones(50, bool)) == TEMPERATURE_RANGE[0]
    assert fit_temperature(np.zeros((0, 2), np.float32), np.zeros(0, int), np.zeros(0, bool)) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(0, 9))
def test_pooling_violators_gives_isotonic_regression(values: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.5, 3, len(values))
    target = np.array(values)
    found = _pool_adjacent_violators(target, weights)
    assert (np.diff(found) >= -1e-12).all()
    # max-min formula of isotonic regression (Barlow et al., 1972).
    for place in range(len(values)):
        best = max(
            min(
                np.average(target[low : high + 1], weights=weights[low : high + 1])
                for high in range(place, len(values))
            )
            for low in range(place + 1)
        )
        assert found[place] == pytest.approx(best, abs=1e-9)


def test_score_map_finds_the_true_curve() -> None:
    rng = np.random.default_rng(5)
    scores = rng.beta(0.6, 1.5, 30_000)
    correct = rng.random(30_000) < scores**2
    knots = fit_score_map(scores, correct)
    assert 4 <= len(knots) <= 10
    at = np.linspace(0.05, 0.9, 30)
    x, y = zip(*knots, strict=True)
    assert np.abs(np.interp(at, x, y) - at**2).max() < 0.06


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(0, 1))
def test_score_map_keeps_ranks(seed: int, count: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.round(rng.random(50), 3), count).astype(np.float32)
    calibration = ExitCalibration(1.0, fit_score_map(scores, rng.random(count) < rate))
    at = np.sort(rng.random(200).astype(np.float32))
    at = at[np.diff(at, prepend=-1) > 1e-4].astype(np.float64)
    mapped = calibration.scores(binary_logits(np.log(at / (1 - at))), np.ones(at.size, int))
    assert (np.diff(mapped) > 0).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 1


def test_few_detections_hardly_move_scores() -> None:
    knots = fit_score_map(np.array([0.5, 0.6, 0.7]), np.array([False, False, False]))
    x, y = zip(*knots, strict=True)
    assert 0.35 < np.interp(0.6, x, y) < 0.6
    assert fit_score_map(np.zeros(0), np.zeros(0, bool)) is None


def test_outcomes_stand_at_their_rows() -> None:
    trace = make_trace(40, classes=3, crowd=0.3)
    for name, of_exit in trace.exits.items():
        outcomes, table = detection_rows(trace, name), of_exit.detections
        pairs = sorted(zip(table.scores[outcomes.counted], outcomes.correct[outcomes.counted], strict=True))
        assert pairs == sorted(zip(*detection_outcomes(calibrated_matches(trace, name)), strict=True))
        assert outcomes.counted.sum() < table.scores.size
        # A correct one really overlaps an object of its label by half.
        place = np.repeat(np.arange(len(trace)), np.diff(table.offsets))
        for row in np.flatnonzero(outcomes.correct & outcomes.counted)[:20]:
            truth = trace.truth[place[row]]
            same = truth.boxes[truth.labels == table.labels[row]]
            assert max(overlap(table.boxes[row], box) for box in same) >= 0.5


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    side = np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2])
    shared = float(np.prod(np.maximum(side, 0)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(two[2:] - two[:2]) - shared)


def test_harmonising_repairs_pooled_scores() -> None:
    sharpness = (2.0, 1.0, 0.6)
    calibration = fit_calibration(make_trace(300, seed=1, sharpness=sharpness))
    assert [calibration[name].temperature for name in calibration] == pytest.approx(sharpness, rel=0.4)
    fresh = make_trace(300, seed=2, sharpness=sharpness)
    report = report_calibration(fresh, calibration)
    assert report.pooled_ap_after > report.pooled_ap_before + 0.005
    for name in ("exit1", "full"):
        before, after = report.exits[name].before, report.exits[name].after
        assert after.nll < before.nll
        assert after.ece < before.ece
        assert after.detection_ece >= after.ece - 0.02
        assert {"nll": before.nll, "ece": before.ece} == pytest.approx(
            calibration_errors(calibrated_matches(fresh, name))
        )


def test_one_exit_alone_keeps_its_ap() -> None:
    trace = make_trace(80, sharpness=(2.0, 1.0, 0.6))
    before, after = pool_exits(trace), pool_exits(trace, fit_calibration(trace))
    for index in range(3):
        choice = np.full(80, index)
        assert mixture_ap(after, choice) == pytest.approx(mixture_ap(before, choice), abs=1e-6)


def test_detection_ece_sees_what_ece_does_not() -> None:
    # Right on the whole at score 0.5, but always right on the left and always wrong on the right.
    boxes = np.array([[10.0, 100, 40, 130], [280, 100, 310, 130]]).repeat(10, axis=0)
    correct = np.arange(20) < 10
    sizes = np.full((20, 2), 320.0)
    scores = np.full(20, 0.5)
    assert detection_calibration_error(scores, correct, boxes, sizes) == pytest.approx(0.5)
    assert detection_calibration_error(scores, correct, boxes, sizes, (8, 1, 1, 1, 1)) == pytest.approx(0.0)


def test_exit_without_detections() -> None:
    trace = make_trace(4, empty=1.0)
    calibration = fit_calibration(trace)
    report = report_calibration(trace, calibration)
    assert report.exits["exit1"].correct == 0
    assert np.isnan(report.pooled_ap_before)


def test_detections_on_a_crowd_teach_nothing() -> None:
    trace = make_trace(150, seed=7, crowd=0.5)
    calibration = fit_calibration(trace)
    for name, of_exit in trace.exits.items():
        rows, table = detection_rows(trace, name), of_exit.detections
        kept = rows.counted
        assert kept.sum() < kept.size
        logits, labels, correct = table.logits[kept], table.labels[kept], rows.correct[kept]
        temperature = fit_temperature(logits, labels, correct)
        scores = ExitCalibration(temperature).scores(logits, labels)
        assert calibration[name] == ExitCalibration(temperature, fit_score_map(scores, correct))
