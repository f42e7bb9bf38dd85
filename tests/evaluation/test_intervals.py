import numpy as np
import pytest

from cascade_exit.evaluation import (
    DetectionArrays,
    ImageTruth,
    Matches,
    average_precision,
    bootstrap_interval,
    difference_interval,
    match_detections,
    relative_drop_interval,
)

from .reference import class_names, coco_evaluation, random_detections, random_truth, repeated

BOX = np.array([[0.0, 0.0, 50.0, 50.0]])


def one_object_each(found: np.ndarray) -> Matches:
    """A set of images with one object each; whether it is found is all that differs, so AP tells how many are."""
    truth = [
        ImageTruth(i, 99, 99, BOX, np.array([1]), np.array([False]), np.array([2500.0])) for i in range(found.size)
    ]
    hits = {int(i): DetectionArrays(BOX, np.array([0.9]), np.array([1])) for i in np.flatnonzero(found)}
    return match_detections(truth, hits, ("chair",))


def test_interval_is_the_binomial_one() -> None:
    matches = one_object_each(np.arange(400) < 120)
    interval = bootstrap_interval(matches, "AP50", resamples=1000)
    assert interval is not None
    # AP50 is the share found, up to the 101 recall levels; its bootstrap is binomial with spread sqrt(pq/n).
    spread = np.sqrt(0.3 * 0.7 / 400)
    assert interval == pytest.approx((0.3 - 1.96 * spread, 0.3 + 1.96 * spread), abs=0.012)


def test_interval_is_that_of_resampled_image_lists() -> None:
    rng = np.random.default_rng(0)
    truth = random_truth(rng, 12, 2)
    detections = random_detections(rng, truth, 2)
    names = class_names(2)
    matches = match_detections(truth, detections, names)
    generator = np.random.default_rng(3)
    values = []
    for _ in range(15):
        weights = np.bincount(generator.integers(12, size=12), minlength=12)
        by_id = dict(zip(matches.image_ids.tolist(), weights.tolist(), strict=True))
        values.append(coco_evaluation(*repeated(truth, detections, by_id), names).stats[0])
    expected = np.quantile(values, [0.1, 0.9])
    assert bootstrap_interval(matches, resamples=15, seed=3, level=0.8) == pytest.approx(tuple(expected), abs=1e-12)


def test_pairs_are_resampled_together() -> None:
    half = np.arange(200) % 2 == 0
    matches = one_object_each(half)
    assert difference_interval(matches, matches, resamples=20) == (0.0, 0.0)
    assert relative_drop_interval(matches, matches, resamples=20) == (0.0, 0.0)
    fewer = one_object_each(half & (np.arange(200) >= 40))
    low, high = difference_interval(fewer, matches, "AP50") or (0, 0)
    # 20 of 200 images differ: the paired spread is that of their share, smaller than either side's own.
    spread = np.sqrt(0.1 * 0.9 / 200)
    assert (low, high) == pytest.approx((-0.1 - 1.96 * spread, -0.1 + 1.96 * spread), abs=0.015)
    low, high = relative_drop_interval(fewer, matches, "AP50", resamples=100) or (0, 0)
    assert low < (0.5 - 0.4) / 0.5 < high


def test_same_seed_same_interval() -> None:
    matches = one_object_each(np.arange(50) < 20)
    assert bootstrap_interval(matches, resamples=50, seed=1) == bootstrap_interval(matches, resamples=50, seed=1)
    assert bootstrap_interval(matches, resamples=50, seed=1) != bootstrap_interval(matches, resamples=50, seed=2)


def test_no_interval_where_there_is_no_measure() -> None:
    nothing = match_detections([], {}, ("chair",))
    assert bootstrap_interval(nothing, resamples=5) is None
    unfound = one_object_each(np.zeros(5, bool))
    assert average_precision(unfound) == 0
    assert relative_drop_interval(unfound, unfound, resamples=5) is None
    assert bootstrap_interval(unfound, "AP_small", resamples=5) is None


def test_arguments_out_of_range_are_refused() -> None:
    matches = one_object_each(np.ones(3, bool))
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        bootstrap_interval(matches, resamples=0)
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 1.5"):
        bootstrap_interval(matches, level=1.5)
    with pytest.raises(ValueError, match="the same images"):
        difference_interval(matches, one_object_each(np.ones(4, bool)))
