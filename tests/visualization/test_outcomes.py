import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import DetectionArrays, ImageTruth, match_detections
from cascade_exit.visualization.outcomes import box_outcomes


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 60, (count, 2))], axis=1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), objects=st.integers(0, 6), found=st.integers(0, 12))
def test_outcomes_are_those_of_evaluation(seed: int, objects: int, found: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, crowd = random_boxes(rng, objects), rng.random(objects) < 0.3
    truth = ImageTruth(1, 128, 128, boxes, rng.integers(1, 3, objects), crowd, np.full(objects, 500.0))
    seen = random_boxes(rng, found)
    if objects:
        near = rng.random(found) < 0.7
        seen[near] = boxes[rng.integers(0, objects, near.sum())] + rng.normal(0, 4, (near.sum(), 4))
    detections = DetectionArrays(seen, rng.random(found), rng.integers(1, 3, found))
    outcomes = box_outcomes(truth, detections)
    matches = match_detections([truth], {1: detections}, ("chair", "table"))
    for label, of_class in enumerate(matches.classes, start=1):
        order = np.argsort(-detections.scores[detections.labels == label])
        correct = np.zeros(of_class.scores.size, bool)
        counted = np.ones(of_class.scores.size, bool)
        correct[of_class.candidates] = of_class.correct[0, 0]
        counted[of_class.candidates] = of_class.counted[0, 0]
        assert outcomes.right[detections.labels == label][order].tolist() == correct.tolist()
        assert (~outcomes.on_crowd[detections.labels == label][order]).tolist() == counted.tolist()
        missed = of_class.truth_count[0, 0] - correct.sum()
        assert outcomes.missed[truth.labels == label].sum() == missed
