import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import (
    MEASURES,
    ExitMixture,
    average_precision,
    average_precisions,
    match_detections,
    mixture_ap,
)

from .reference import class_names, random_detections, random_truth, repeated
from .test_average_precision import SETS, assert_bit_equal, expected


def mixed(truth: list, by_exit: list[dict], choice: np.ndarray) -> dict:
    ids = sorted(image.image_id for image in truth)
    chosen = zip(ids, choice.tolist(), strict=True)
    return {image_id: by_exit[index][image_id] for image_id, index in chosen if image_id in by_exit[index]}


@settings(max_examples=60, deadline=None)
@given(**SETS, most=st.sampled_from([12, 12, 12, 250]))
def test_is_pycocotools_on_the_mixed_detections(seed: int, images: int, classes: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    by_exit = [random_detections(rng, truth, classes, most) for _ in range(3)]
    names = class_names(classes)
    mixture = ExitMixture([match_detections(truth, found, names) for found in by_exit])
    for _ in range(2):
        choice = rng.integers(0, 3, images)
        theirs = expected(truth, mixed(truth, by_exit, choice), names)
        assert_bit_equal(mixture.average_precisions(choice), theirs)
        assert_bit_equal(average_precisions(mixture.choose(choice)), theirs)
        assert_bit_equal({name: mixture_ap(mixture, choice, measure=name) for name in MEASURES}, theirs)


@settings(max_examples=20, deadline=None)
@given(**SETS)
def test_weighted_mixture_repeats_images(seed: int, images: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    by_exit = [random_detections(rng, truth, classes) for _ in range(2)]
    names = class_names(classes)
    matches = [match_detections(truth, found, names) for found in by_exit]
    choice, weights = rng.integers(0, 2, images), rng.integers(0, 3, images)
    by_id = dict(zip(matches[0].image_ids.tolist(), weights.tolist(), strict=True))
    ours = {name: mixture_ap(matches, choice, weights, name) for name in MEASURES}
    assert_bit_equal(ours, expected(*repeated(truth, mixed(truth, by_exit, choice), by_id), names))


def test_one_exit_for_all_is_that_exit() -> None:
    rng = np.random.default_rng(1)
    truth = random_truth(rng, 9, 2)
    matches = [match_detections(truth, random_detections(rng, truth, 2), class_names(2)) for _ in range(2)]
    for index, of_exit in enumerate(matches):
        assert mixture_ap(matches, np.full(9, index)) == average_precision(of_exit)


def test_measures_are_given_in_the_order_asked_for() -> None:
    rng = np.random.default_rng(3)
    truth = random_truth(rng, 9, 2)
    mixture = ExitMixture([match_detections(truth, random_detections(rng, truth, 2), class_names(2)) for _ in range(2)])
    choice = rng.integers(0, 2, 9)
    every = mixture.average_precisions(choice)
    assert tuple(every) == MEASURES
    for measures in [("AP75", "AP50"), ("AP_large", "AP", "AP_small"), ("AP75",), ()]:
        some = mixture.average_precisions(choice, measures=measures)
        assert tuple(some) == measures
        np.testing.assert_array_equal(list(some.values()), [every[measure] for measure in measures])


def test_what_cannot_be_mixed_is_refused() -> None:
    rng = np.random.default_rng(2)
    names = class_names(1)
    matches = match_detections(random_truth(rng, 4, 1), {}, names)
    other = match_detections(random_truth(rng, 5, 1), {}, names)
    with pytest.raises(ValueError, match="only if matched on the same images"):
        ExitMixture([matches, other])
    with pytest.raises(ValueError, match="at least one exit"):
        ExitMixture([])
    with pytest.raises(ValueError, match=r"one exit per image \(4\), got 3"):
        mixture_ap([matches], np.zeros(3, int))
    with pytest.raises(ValueError, match="choice must be 0 to 0, got 1"):
        mixture_ap([matches], np.array([0, 1, 0, 0]))
