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
    resampled_weights,
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


def test_whole_groups_are_drawn() -> None:
    groups = ["b", "a", "b", "c", "a", "b"]
    drawn = np.array(list(resampled_weights(6, 400, 2, groups)))
    for group in "abc":
        columns = drawn[:, [place for place, name in enumerate(groups) if name == group]]
        assert (columns == columns[:, :1]).all()
    # Three groups are drawn each time, each as often as the others.
    once = drawn[:, [0, 1, 3]]
    assert (once.sum(axis=1) == 3).all()
    assert once.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)
    single = list(resampled_weights(6, 5, 2, list("uvwxyz")))
    assert np.array_equal(single, list(resampled_weights(6, 5, 2)))


def test_interval_of_groups_is_that_of_their_number() -> None:
    # 50 bursts of 8 photos, all found or none: as much is known as from 50 photos.
    found = np.repeat(np.arange(50) < 15, 8)
    bursts = [str(number) for number in np.repeat(np.arange(50), 8)]
    matches = one_object_each(found)
    spread = np.sqrt(0.3 * 0.7 / 50)
    expected = (0.3 - 1.96 * spread, 0.3 + 1.96 * spread)
    assert bootstrap_interval(matches, "AP50", groups=bursts) == pytest.approx(expected, abs=0.025)
    alone = bootstrap_interval(matches, "AP50")
    assert alone is not None
    assert alone[1] - alone[0] < 0.5 * (expected[1] - expected[0])


def test_groups_must_be_one_per_image() -> None:
    with pytest.raises(ValueError, match="groups must be one per image"):
        bootstrap_interval(one_object_each(np.ones(4, bool)), groups=["a"])
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        list(resampled_weights(4, 0))
