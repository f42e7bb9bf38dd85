"""The per-class fit against thresholds tried out one by one."""

import numpy as np
import pytest

from cascade_exit.policies.per_class import PRIOR_CORRECT, fit_per_class
from cascade_exit.policies.pooling import detection_rows
from tests.policies.synthetic import make_trace


def fewest_mistakes(scores, correct):
    cuts = np.append(np.unique(scores), 1.0)
    return min(int((correct & (scores < cut)).sum() + (~correct & (scores >= cut)).sum()) for cut in cuts)


def test_one_class_gets_the_cut_with_the_fewest_mistakes():
    trace = make_trace(80, classes=1)
    rule = fit_per_class(trace, "exit1")
    rows = detection_rows(trace, "exit1")
    scores, correct = trace.exits["exit1"].detections.scores[rows.counted], rows.correct[rows.counted]
    (cut,) = rule.class_thresholds
    mistakes = int((correct & (scores < cut - 1e-6)).sum() + (~correct & (scores >= cut - 1e-6)).sum())
    assert mistakes == fewest_mistakes(scores, correct) < min(correct.sum(), (~correct).sum())


def test_a_rare_class_leans_on_all_others():
    trace = make_trace(80, classes=3)
    rows, table = detection_rows(trace, "exit2"), trace.exits["exit2"].detections
    found = [int((rows.correct & rows.counted & (table.labels == label)).sum()) for label in (1, 2, 3)]
    assert all(found)
    thresholds = np.array(fit_per_class(trace, "exit2").class_thresholds)

    # A class of which nothing was found at all has the threshold of all classes together.
    header = trace.header.__class__(**{**vars(trace.header), "classes": (*trace.header.classes, "never")})
    trace = trace.__class__(header, trace.truth, trace.difficulties, trace.exits)
    *same, of_all = fit_per_class(trace, "exit2").class_thresholds
    assert same == pytest.approx(thresholds)
    own = [(mixed - (1 - share) * of_all) / share for mixed, share in zip(thresholds, shares(found), strict=True)]
    assert all(0 <= cut <= 1 for cut in own)
    assert np.ptp(thresholds) > 0


def shares(found):
    return [count / (count + PRIOR_CORRECT) for count in found]
