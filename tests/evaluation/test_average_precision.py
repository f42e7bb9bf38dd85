import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import MEASURES, average_precision, average_precisions, match_detections
from cascade_exit.evaluation.tally import RECALL_LEVELS, hits_before_level

from .reference import STATS, class_names, coco_evaluation, random_detections, random_truth, repeated

SETS = {"seed": st.integers(0, 2**32 - 1), "images": st.integers(1, 8), "classes": st.integers(1, 3)}


def expected(truth: list, detections: dict, names: tuple[str, ...]) -> dict[str, float]:
    stats = coco_evaluation(truth, detections, names).stats
    return {name: stats[STATS[name]] if stats[STATS[name]] > -1 else math.nan for name in MEASURES}


def assert_bit_equal(ours: dict[str, float], theirs: dict[str, float]) -> None:
    np.testing.assert_array_equal([ours[name] for name in MEASURES], [theirs[name] for name in MEASURES])


@settings(max_examples=60, deadline=None)
@given(**SETS, most=st.sampled_from([12, 12, 12, 250]))
def test_is_pycocotools_to_the_last_bit(seed: int, images: int, classes: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    detections = random_detections(rng, truth, classes, most)
    names = class_names(classes)
    matches = match_detections(truth, detections, names)
    theirs = expected(truth, detections, names)
    assert_bit_equal(average_precisions(matches), theirs)
    assert_bit_equal({name: average_precision(matches, measure=name) for name in MEASURES}, theirs)


@settings(max_examples=60, deadline=None)
@given(**SETS)
def test_weights_repeat_images(seed: int, images: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    detections = random_detections(rng, truth, classes)
    names = class_names(classes)
    matches = match_detections(truth, detections, names)
    weights = rng.integers(0, 4, images)
    by_id = dict(zip(matches.image_ids.tolist(), weights.tolist(), strict=True))
    ours = {name: average_precision(matches, weights, name) for name in MEASURES}
    assert_bit_equal(ours, expected(*repeated(truth, detections, by_id), names))


def test_a_mask_leaves_images_out() -> None:
    rng = np.random.default_rng(6)
    truth = random_truth(rng, 10, 2)
    detections = random_detections(rng, truth, 2)
    matches = match_detections(truth, detections, class_names(2))
    mask = np.arange(10) % 3 > 0
    kept = {int(image_id) for image_id in matches.image_ids[mask]}
    part = [image for image in truth if image.image_id in kept]
    found = {image_id: arrays for image_id, arrays in detections.items() if image_id in kept}
    ours = {name: average_precision(matches, mask, name) for name in MEASURES}
    assert_bit_equal(ours, expected(part, found, class_names(2)))


def test_real_valued_boxes_in_single_precision() -> None:
    rng = np.random.default_rng(7)
    truth = random_truth(rng, 20, 2)
    detections = random_detections(rng, truth, 2)
    for arrays in detections.values():
        noise = rng.normal(0, 2, arrays.boxes.shape)
        object.__setattr__(arrays, "boxes", (arrays.boxes + noise).astype(np.float32))
        object.__setattr__(arrays, "scores", rng.random(len(arrays.scores)).astype(np.float32))
    matches = match_detections(truth, detections, class_names(2))
    ours = {name: average_precision(matches, measure=name) for name in MEASURES}
    assert_bit_equal(ours, expected(truth, detections, class_names(2)))


def test_every_number_of_objects_reaches_the_levels_where_the_reference_does() -> None:
    # Recall k/n and level are both rounded numbers, and which comes first decides.
    counts = np.arange(1, 3000)
    ours = hits_before_level(counts)
    for row, count in zip(ours, counts.tolist(), strict=True):
        recall = np.arange(1, count + 1) / count
        np.testing.assert_array_equal(row, np.searchsorted(recall, RECALL_LEVELS, side="left"))


def test_nothing_to_find_is_nan() -> None:
    matches = match_detections([], {}, ("chair",))
    assert math.isnan(average_precision(matches))
    rng = np.random.default_rng(8)
    truth = random_truth(rng, 4, 1)
    matches = match_detections(truth, random_detections(rng, truth, 1), ("chair",))
    assert math.isnan(average_precision(matches, np.zeros(4, int)))


def test_arguments_out_of_range_are_refused() -> None:
    matches = match_detections(random_truth(np.random.default_rng(9), 3, 1), {}, ("chair",))
    with pytest.raises(ValueError, match="image_weights must be 3 whole numbers, got int64"):
        average_precision(matches, np.ones(4, int))
    with pytest.raises(ValueError, match="image_weights must be 0 or more, got -1"):
        average_precision(matches, np.array([1, -1, 1]))
