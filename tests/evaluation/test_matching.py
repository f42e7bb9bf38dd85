import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import DetectionArrays, ImageTruth, match_detections

from .reference import class_names, coco_evaluation, random_detections, random_truth


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 3))
def test_every_outcome_is_that_of_pycocotools(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, 5, classes)
    detections = random_detections(rng, truth, classes)
    names = class_names(classes)
    matches = match_detections(truth, detections, names)
    theirs = coco_evaluation(truth, detections, names).evalImgs
    per_image = iter(theirs)
    for of_class in matches.classes:
        correct = np.zeros((4, 10, of_class.scores.size), bool)
        counted = np.repeat(of_class.in_area[:, None], 10, axis=1)
        correct[:, :, of_class.candidates] = of_class.correct
        counted[:, :, of_class.candidates] = of_class.counted
        for area in range(4):
            for image in range(5):
                outcome = next(per_image)
                rows = of_class.images == image
                if outcome is None:
                    assert not rows.any()
                    continue
                np.testing.assert_array_equal(of_class.scores[rows], outcome["dtScores"])
                np.testing.assert_array_equal(counted[area][:, rows], ~outcome["dtIgnore"])
                hits = (outcome["dtMatches"] > 0) & ~outcome["dtIgnore"]
                np.testing.assert_array_equal(correct[area][:, rows], hits)
                assert of_class.truth_count[area, image] == (outcome["gtIgnore"] == 0).sum()


def test_rows_are_sorted_by_score_and_then_by_image_id() -> None:
    box, nothing = np.array([[0.0, 0.0, 10.0, 10.0]]), np.zeros(0)
    truth = [ImageTruth(i, 64, 64, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), nothing) for i in (9, 4, 7)]
    scores = {9: [0.5], 4: [0.2, 0.5], 7: [0.9]}
    detections = {
        image_id: DetectionArrays(np.repeat(box, len(s), 0), np.array(s), np.ones(len(s), int))
        for image_id, s in scores.items()
    }
    matches = match_detections(truth, detections, ("chair",))
    assert matches.image_ids.tolist() == [4, 7, 9]
    assert matches.classes[0].scores.tolist() == [0.9, 0.5, 0.5, 0.2]
    assert matches.classes[0].images.tolist() == [1, 0, 2, 0]


def test_of_equal_overlaps_the_object_named_last_is_taken() -> None:
    left, right, both = [0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0], [0.0, 0.0, 20.0, 10.0]
    found = DetectionArrays(np.array([both, right]), np.array([0.9, 0.8]), np.array([1, 1]))
    for boxes, second_finds in (([left, right], False), ([right, left], True)):
        truth = [
            ImageTruth(1, 64, 64, np.array(boxes), np.array([1, 1]), np.array([False, False]), np.array([100.0, 100.0]))
        ]
        theirs = coco_evaluation(truth, {1: found}, ("chair",)).evalImgs[0]["dtMatches"][0] > 0
        assert theirs.tolist() == [True, second_finds]
        of_class = match_detections(truth, {1: found}, ("chair",)).classes[0]
        assert of_class.correct[0, 0].tolist() == theirs.tolist()
