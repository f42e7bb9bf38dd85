import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import DetectionArrays, ImageTruth, image_quality, match_detections

from .reference import class_names, coco_evaluation, random_detections, random_truth


def shown(detections: dict, threshold: float) -> dict:
    """Only the detections that reach the threshold."""
    kept = {}
    for image_id, found in detections.items():
        rows = found.scores >= threshold
        kept[image_id] = DetectionArrays(found.boxes[rows], found.scores[rows], found.labels[rows])
    return kept


def by_pycocotools(truth: list, detections: dict, names: tuple[str, ...]) -> dict[int, tuple[float, float, int]]:
    """Recall, F1 and false positives of each image by id, from detections that are all shown."""
    counts = {image.image_id: np.zeros(3, int) for image in truth}
    for outcome in coco_evaluation(truth, detections, names).evalImgs:
        if outcome is None or outcome["aRng"] != [0, 1e10]:
            continue
        found = outcome["dtMatches"][0] > 0
        counts[outcome["image_id"]] += [
            (found & ~outcome["dtIgnore"][0]).sum(),
            (~found & ~outcome["dtIgnore"][0]).sum(),
            (outcome["gtIgnore"] == 0).sum(),
        ]
    answer = {}
    for image_id, (right, wrong, objects) in counts.items():
        recall, precision = (right / n if n else math.nan for n in (objects, right + wrong))
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0 if objects else math.nan
        answer[image_id] = (recall, f1, wrong)
    return answer


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 8),
    classes=st.integers(1, 3),
    threshold=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]),
)
def test_is_pycocotools_on_the_detections_that_are_shown(seed, images, classes, threshold):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    detections = random_detections(rng, truth, classes)
    names = class_names(classes)
    # Matched with all detections, though only some are shown: weaker ones must not change what stronger ones find.
    matches = match_detections(truth, detections, names)
    quality = image_quality(matches, threshold)
    expected = by_pycocotools(truth, shown(detections, threshold), names)
    rows = np.array([expected[image_id] for image_id in matches.image_ids.tolist()])
    np.testing.assert_array_equal(quality.recall, rows[:, 0])
    np.testing.assert_allclose(quality.f1, rows[:, 1], rtol=1e-12)
    np.testing.assert_array_equal(quality.false_positives, rows[:, 2])


def image(image_id: int, boxes: list[list[float]], crowd: list[bool]) -> ImageTruth:
    labels, corners = np.ones(len(boxes), int), np.array(boxes, float).reshape(-1, 4)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    return ImageTruth(image_id, 100, 100, corners, labels, np.array(crowd, bool), areas)


def test_by_hand():
    box, other, far = [0.0, 0.0, 20.0, 20.0], [50.0, 50.0, 90.0, 90.0], [0.0, 80.0, 10.0, 99.0]
    truth = [
        image(1, [box, other], [False, False]),
        image(2, [], []),
        image(3, [other], [True]),
        image(4, [box], [False]),
    ]
    detections = {
        1: DetectionArrays(np.array([box, far, other]), np.array([0.9, 0.6, 0.2]), np.array([1, 1, 1])),
        2: DetectionArrays(np.array([box, far]), np.array([0.5, 0.4]), np.array([1, 1])),
        3: DetectionArrays(np.array([other, far]), np.array([0.9, 0.8]), np.array([1, 1])),
    }
    quality = image_quality(match_detections(truth, detections, ("chair",)), 0.5)
    # One of two found and one wrong; nothing to find twice (the crowd is no object); nothing found.
    np.testing.assert_array_equal(quality.recall, [0.5, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(quality.f1, [0.5, np.nan, np.nan, 0.0])
    # The score at the threshold counts, the detection on the crowd does not.
    assert quality.false_positives.tolist() == [1, 1, 1, 0]


def test_no_images():
    quality = image_quality(match_detections([], {}, ("chair",)), 0.5)
    assert quality.recall.shape == quality.f1.shape == quality.false_positives.shape == (0,)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan])
def test_a_threshold_that_is_no_score_is_refused(threshold):
    with pytest.raises(ValueError, match=r"score_threshold must lie in \[0, 1\], got"):
        image_quality(match_detections([], {}, ("chair",)), threshold)
