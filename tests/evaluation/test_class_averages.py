"""Every class on many sets at once, against pycocotools on each set by itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from cascade_exit.evaluation import average_precisions, match_detections
from cascade_exit.evaluation.class_averages import class_averages, mean_over_classes

from .reference import class_names, coco_evaluation, random_detections, random_truth, repeated
from .test_average_precision import SETS


def untie(detections: dict) -> None:
    """No two scores of an image are equal; those of different images may be."""
    for arrays in detections.values():
        object.__setattr__(arrays, "scores", arrays.scores + 1e-7 * np.arange(len(arrays.scores)))


def of_pycocotools(truth: list, detections: dict, names: tuple[str, ...]) -> np.ndarray:
    """AP and AP50 of each class, NaN where there is no object."""
    precision = coco_evaluation(truth, detections, names).eval["precision"][:, :, :, 0, 2]
    present = precision[0, 0] > -1
    return np.where(present, [precision.mean(axis=(0, 1)), precision[0].mean(axis=0)], math.nan)


@settings(max_examples=40, deadline=None)
@given(**SETS)
def test_is_pycocotools_on_every_set(seed: int, images: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth, names = random_truth(rng, images, classes), class_names(classes)
    detections = random_detections(rng, truth, classes)
    untie(detections)
    matches = match_detections(truth, detections, names)
    weights = np.stack([np.ones(images, np.int64), rng.integers(0, 4, images), rng.integers(0, 2, images)])
    averages = class_averages(matches, weights)
    for place, of_set in enumerate(weights):
        by_id = dict(zip(matches.image_ids.tolist(), of_set.tolist(), strict=True))
        if not of_set.any():
            continue
        theirs = of_pycocotools(*repeated(truth, detections, by_id), names)
        np.testing.assert_allclose([averages.ap[place], averages.ap50[place]], theirs, rtol=0, atol=1e-12)


def test_their_mean_is_the_pooled_figure_on_long_sets() -> None:
    # So many sets and rows that they are taken in several steps.
    rng = np.random.default_rng(3)
    truth = random_truth(rng, 60, 3, most_objects=9)
    detections = random_detections(rng, truth, 3, most=250)
    untie(detections)
    matches = match_detections(truth, detections, class_names(3))
    weights = rng.integers(0, 3, (400, 60))
    averages = class_averages(matches, weights)
    pooled = np.array([list(average_precisions(matches, of_set, ("AP", "AP50")).values()) for of_set in weights])
    np.testing.assert_allclose(mean_over_classes(averages.ap), pooled[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(mean_over_classes(averages.ap50), pooled[:, 1], rtol=0, atol=1e-12)


def test_a_class_that_is_not_there_has_no_average() -> None:
    rng = np.random.default_rng(5)
    truth = random_truth(rng, 12, 2)
    matches = match_detections(truth, random_detections(rng, truth, 2), class_names(3))
    averages = class_averages(matches, np.stack([np.ones(12, np.int64), np.zeros(12, np.int64)]))
    assert np.isfinite(averages.ap[0]).tolist() == [True, True, False]
    assert np.isnan(averages.ap[1]).all()
    assert np.isnan(mean_over_classes(averages.ap)).tolist() == [False, True]


@pytest.mark.parametrize("wrong", [np.ones((2, 5), int), -np.ones((1, 6), int)])
def test_weights_must_be_one_per_image_and_not_below_zero(wrong: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    truth = random_truth(rng, 6, 1)
    matches = match_detections(truth, {}, class_names(1))
    with pytest.raises(ValueError, match="weights must be"):
        class_averages(matches, wrong)
