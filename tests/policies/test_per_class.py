"""The per-class fit against thresholds tried out one by one, and on draws of which the best thresholds are known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from cascade_exit.policies.per_class import (
    STRENGTHS,
    ClassCuts,
    Detected,
    choose_strength,
    detected_at,
    fewest_mistakes,
    fit_per_class,
)
from cascade_exit.policies.pooling import detection_rows
from tests.policies.synthetic import make_trace


def mistakes_at(scores, correct, cut):
    return int((correct & (scores < cut)).sum() + (~correct & (scores >= cut)).sum())


def test_one_class_gets_the_cut_with_the_fewest_mistakes():
    trace = make_trace(80, classes=1)
    rule = fit_per_class(trace, "exit1")
    rows = detection_rows(trace, "exit1")
    scores, correct = trace.exits["exit1"].detections.scores[rows.counted], rows.correct[rows.counted]
    (cut,) = rule.class_thresholds
    fewest = min(mistakes_at(scores, correct, at) for at in np.append(np.unique(scores), 1.0))
    assert mistakes_at(scores, correct, cut - 1e-6) == fewest < min(correct.sum(), (~correct).sum())
    assert fewest_mistakes(scores, np.zeros_like(correct)) == 0.5


def test_a_rare_class_leans_on_all_others():
    trace = make_trace(80, classes=3)
    # A class of which nothing was found at all has the threshold of all classes together.
    header = trace.header.__class__(**{**vars(trace.header), "classes": (*trace.header.classes, "never")})
    trace = trace.__class__(header, trace.truth, trace.difficulties, trace.exits)
    own, half, shared = (
        np.array(fit_per_class(trace, "exit2", strength=k).class_thresholds) for k in (0.0, 20.0, math.inf)
    )
    rows, table = detection_rows(trace, "exit2"), trace.exits["exit2"].detections
    found = np.array([int((rows.correct & rows.counted & (table.labels == label)).sum()) for label in (1, 2, 3, 4)])
    assert all(found[:3])
    assert np.ptp(shared) == 0 < np.ptp(own)
    assert own[3] == half[3] == shared[3]
    assert half == pytest.approx(found / (found + 20) * own + 20 / (found + 20) * shared)
    chosen = choose_strength(detected_at(trace, "exit2"))
    assert fit_per_class(trace, "exit2") == fit_per_class(trace, "exit2", strength=chosen)
    assert chosen in STRENGTHS


class Population:
    """Classes whose log-odds are normal, correct detections one above the class's centre and wrong ones one below.

    With as many of both, the threshold with the fewest mistakes is the centre, whatever the spread.
    """

    def __init__(self, centres: Sequence[float], counts: Sequence[int]) -> None:
        self.centres, self.counts = np.array(centres), counts

    def draw(self, seed: int) -> Detected:
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(1, len(self.counts) + 1), 2 * np.array(self.counts))
        correct = np.concatenate([np.arange(2 * count) < count for count in self.counts])
        log_odds = rng.normal(self.centres[labels - 1] + np.where(correct, 1, -1))
        fold = rng.integers(0, 5, labels.size)
        return Detected(1 / (1 + np.exp(-log_odds)), labels, correct, fold, len(self.counts))

    def excess(self, cuts: np.ndarray) -> np.ndarray:
        """Share of mistakes on unseen detections of each class, above that of its best threshold."""
        share = [self._mistakes(math.log(cut / (1 - cut)) - at) for cut, at in zip(cuts, self.centres, strict=True)]
        return np.array(share) - self._mistakes(0.0)

    @staticmethod
    def _mistakes(off: float) -> float:
        below, above = (0.5 * (1 + math.erf(at / math.sqrt(2))) for at in (off - 1, off + 1))
        return 0.5 * below + 0.5 * (1 - above)

    def unseen(self, draws: int = 30) -> dict[str, np.ndarray]:
        """Mean excess of each class over many fits, with own, shared and shrunk thresholds."""
        found: dict[str, list[np.ndarray]] = {"own": [], "shared": [], "shrunk": []}
        for seed in range(draws):
            detected = self.draw(seed)
            cuts = ClassCuts.of(detected)
            strengths = {"own": 0.0, "shared": math.inf, "shrunk": choose_strength(detected)}
            for name, strength in strengths.items():
                found[name].append(self.excess(cuts.shrunk(strength).clip(1e-6, 1 - 1e-6)))
        return {name: np.mean(each, axis=0) for name, each in found.items()}


def test_shrinkage_wins_on_unseen_detections_where_rare_classes_overfit():
    # Two common classes that differ much, four rare ones that differ little from the mean.
    found = Population([1, -1, 0.3, -0.3, 0.2, 0.0], [300, 300, 6, 6, 6, 6]).unseen()
    rare, common = slice(2, None), slice(0, 2)
    assert found["shrunk"][rare].mean() < 0.5 * found["own"][rare].mean()
    assert found["shrunk"][common].mean() < 0.1 * found["shared"][common].mean()
    assert found["shrunk"].mean() < min(found["own"].mean(), found["shared"].mean())


def test_where_data_are_plenty_thresholds_are_each_class_s_own():
    found = Population([1, -1, 0.5, -0.5], [400] * 4).unseen()
    assert found["shrunk"].mean() == pytest.approx(found["own"].mean(), abs=0.002)
    assert found["shrunk"].mean() < 0.1 * found["shared"].mean()


def test_where_classes_do_not_differ_they_share_a_threshold():
    alike = Population([0] * 6, [60, 60, 6, 6, 6, 6])
    found = alike.unseen()
    assert found["shrunk"].mean() < 0.5 * found["own"].mean()
    assert np.median([choose_strength(alike.draw(seed)) for seed in range(30)]) >= 100
