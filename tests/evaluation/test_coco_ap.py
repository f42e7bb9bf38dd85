from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import DetectionArrays, ImageTruth, coco_metrics, match_detections

from .reference import (
    class_names,
    coco_evaluation,
    coco_measures,
    random_detections,
    random_truth,
    reference_metrics,
    repeated,
)


def measured(truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], names: Sequence[str]) -> dict:
    return coco_metrics(match_detections(truth, detections, names))


def assert_same(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    assert ours["per_class"] == pytest.approx(theirs["per_class"], abs=1e-9)
    assert {k: v for k, v in ours.items() if k != "per_class"} == pytest.approx(
        {k: v for k, v in theirs.items() if k != "per_class"}, abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 8), classes=st.integers(1, 4))
def test_equals_pycocotools(seed: int, images: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    detections = random_detections(rng, truth, classes)
    names = class_names(classes)
    assert_same(measured(truth, detections, names), reference_metrics(truth, detections, names))


def test_more_than_100_detections_of_a_class() -> None:
    rng = np.random.default_rng(1)
    truth = random_truth(rng, 3, 1, most_objects=8)
    detections = random_detections(rng, truth, 1, most=400)
    assert max(len(found.scores) for found in detections.values()) > 150
    names = class_names(1)
    assert_same(measured(truth, detections, names), reference_metrics(truth, detections, names))


def test_ground_truth_as_detections_is_perfect() -> None:
    rng = np.random.default_rng(2)
    truth = [image for image in random_truth(rng, 12, 3) if not image.crowd.any()]
    detections = {t.image_id: DetectionArrays(t.boxes, np.full(len(t.labels), 0.9), t.labels) for t in truth}
    measures = measured(truth, detections, class_names(3))
    assert measures.pop("per_class") == pytest.approx(dict.fromkeys(class_names(3), 1.0))
    assert measures == pytest.approx(dict.fromkeys(measures, 1.0))


def test_class_without_ground_truth_is_absent_and_finding_nothing_is_zero() -> None:
    box = np.array([[0.0, 0.0, 100.0, 100.0]])
    truth = [ImageTruth(1, 128, 128, box, np.array([1]), np.array([False]), np.array([10_000.0]))]
    measures = measured(truth, {}, ("chair", "table"))
    assert measures == {"AP": 0, "AP50": 0, "AP75": 0, "AP_large": 0, "AR100": 0, "per_class": {"chair": 0}}


def test_nothing_to_find_gives_no_measure() -> None:
    empty = ImageTruth(1, 8, 8, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    found = DetectionArrays(np.array([[0.0, 0.0, 4.0, 4.0]]), np.array([0.5]), np.array([1]))
    assert measured([empty], {1: found}, ("chair",)) == {"per_class": {}}
    assert measured([], {}, ("chair",)) == {"per_class": {}}


def test_sizes_are_those_of_the_original_images() -> None:
    rng = np.random.default_rng(3)
    stored = random_truth(rng, 10, 2)
    detections = random_detections(rng, stored, 2)
    ratio = {image.image_id: float(rng.choice([1, 2, 5])) for image in stored}
    truth = [
        ImageTruth(**{**vars(t), "original_size": (int(t.height * ratio[t.image_id]), t.width * 3)}) for t in stored
    ]
    names = class_names(2)
    scale = {image_id: 3 * factor for image_id, factor in ratio.items()}
    theirs = coco_measures(coco_evaluation(stored, detections, names, scale), names)
    assert_same(measured(truth, detections, names), theirs)
    unscaled = measured(stored, detections, names)
    assert unscaled["AP_small"] != pytest.approx(theirs["AP_small"])


def test_doubling_every_image_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    truth = random_truth(rng, 6, 2)
    distinct = {
        image_id: DetectionArrays(found.boxes, rng.random(len(found.scores)), found.labels)
        for image_id, found in random_detections(rng, truth, 2).items()
    }
    twice = repeated(truth, distinct, {image.image_id: 2 for image in truth})
    assert measured(*twice, class_names(2))["AP"] == pytest.approx(
        measured(truth, distinct, class_names(2))["AP"], abs=1e-9
    )


def test_inputs_that_would_be_scored_wrongly_are_refused() -> None:
    truth = random_truth(np.random.default_rng(5), 3, 2)
    found = DetectionArrays(np.zeros((1, 4)), np.array([0.5]), np.array([3]))
    image_id = truth[0].image_id
    with pytest.raises(ValueError, match=f"detections of image {image_id}: label 3 is not one of 1 to 2"):
        measured(truth, {image_id: found}, class_names(2))
    with pytest.raises(ValueError, match="detections of image 9999, which is not in the ground truth"):
        measured(truth, {9999: found}, class_names(3))
    with pytest.raises(ValueError, match=f"image {image_id} stands in the ground truth twice"):
        measured([*truth, truth[0]], {}, class_names(2))
