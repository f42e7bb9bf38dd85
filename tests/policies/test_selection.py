"""Families judged by cross-fitting: what is left out and why, what is chosen, and that nothing is seen beforehand."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from cascade_exit.evaluation import Matches, average_precision
from cascade_exit.policies import Objective
from cascade_exit.policies.crossfit import CrossFit, fold_of
from cascade_exit.policies.objectives import nearest_point
from cascade_exit.policies.operating_points import OperatingPoint
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.scoring import Score, Static
from cascade_exit.policies.selection import DROP_MARGINS, Bench, Candidate, Prepare, best_candidate, judge_families
from cascade_exit.policies.tuning import TunedFamily, tune_family
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

from .synthetic import MACS, make_trace

OBJECTIVE = Objective("max_speedup", max_relative_ap_drop=0.05)


prepare = partial(Bench.of, costs=MACS, calibrate=fit_calibration, quantiles=3)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return prepare(make_trace(40))


@pytest.fixture(scope="module")
def certainty(bench: Bench) -> Candidate:
    found, left_out = judge_families(["certainty"], bench, prepare, OBJECTIVE)
    assert not left_out
    return found["certainty"]


def with_digest(trace: Trace, name: str, **parts: torch.Tensor) -> Trace:
    of_exit = trace.exits[name]
    return replace(trace, exits={**trace.exits, name: replace(of_exit, digest=of_exit.digest.replaced(**parts))})


def constant_confidence(trace: Trace, *names: str) -> Trace:
    for name in names:
        trace = with_digest(trace, name, mean_confidence=torch.full((len(trace),), 0.9))
    return trace


def candidate(name: str, speedup: float, drop: float, fair: tuple[float, float] | None) -> Candidate:
    point = OperatingPoint.at({}, Score({"full": 1.0}, 1 - drop, 1 - drop, 1 / speedup, speedup, drop))
    crossfitted = None
    if fair is not None:
        score = Score({"full": 1.0}, 1 - fair[1], 1 - fair[1], 1 / fair[0], *fair)
        nothing = np.zeros(0, np.int64)
        crossfitted = CrossFit(nothing, nothing, Matches(nothing, (), ()), score, None, None)
    return Candidate(TunedFamily(name, {}, (point,)), OBJECTIVE, point, crossfitted)


def decided_without_its_fold(trace: Trace, prepare: Prepare, aim: Objective) -> list[int]:
    """Exit of every image, as index, by a policy of the family certainty that was tuned on the other folds."""
    fold, choice = np.array([fold_of(image.image_id) for image in trace.truth]), np.full(len(trace), -1)
    for left in range(5):
        others = prepare(trace.subset(np.flatnonzero(fold != left)))
        family = tune_family("certainty", others.tuning, others.scorer)
        policy = family.policy(nearest_point(family.points, aim), others.tuning)
        choice[fold == left] = policy.choose(trace.subset(np.flatnonzero(fold == left)))
    return choice.tolist()


def test_what_counts_is_the_cross_fitted_figure() -> None:
    lucky = candidate("lucky", 3.0, 0.0, (2.9, 0.2))
    sound = candidate("sound", 1.5, 0.04, (1.4, 0.05))
    slow = candidate("slow", 1.2, 0.04, (1.2, 0.01))
    unjudged = candidate("unjudged", 9.0, 0.0, None)
    assert best_candidate([lucky, sound, slow, unjudged], OBJECTIVE) is sound
    assert best_candidate([unjudged, lucky], OBJECTIVE) is lucky
    # Where none is within the limits: the one that is least beyond.
    worse = candidate("worse", 9.0, 0.0, (9.0, 0.3))
    assert best_candidate([worse, lucky], OBJECTIVE) is lucky
    assert best_candidate([unjudged, candidate("too", 2.0, 0.0, None)], OBJECTIVE) is unjudged


def test_each_fold_is_decided_by_a_policy_tuned_without_it(bench: Bench, certainty: Candidate) -> None:
    assert certainty.aim.max_relative_ap_drop in [0.05 - margin for margin in DROP_MARGINS]
    assert certainty.fair.choice.tolist() == decided_without_its_fold(bench.tuning.trace, prepare, certainty.aim)


def test_cross_fitted_scores_have_one_calibration(bench: Bench, certainty: Candidate) -> None:
    # Calibrations per fold put the folds' scores on different scales, so that the pool loses AP that no policy loses.
    assert certainty.fair.score.ap == bench.scorer.ap(certainty.fair.choice)


def test_limits_may_be_against_a_static_model(bench: Bench) -> None:
    # As good as exit 2, so that more may leave early than against full.
    trace = bench.tuning.trace
    static = Static("static", calibrated_matches(trace, "exit2"), 250e6)
    against = partial(prepare, static=static)
    found, _ = judge_families(["certainty"], against(trace), against, OBJECTIVE)
    certainty = found["certainty"]
    for point in certainty.family.points:
        assert point.relative_ap_drop == pytest.approx(1 - point.ap / average_precision(static.matches))
        assert point.speedup == pytest.approx(250e6 / point.mean_cost)
    assert certainty.point.relative_ap_drop <= 0.05 < 1 - certainty.point.ap / bench.scorer.baseline.ap
    fair = certainty.fair.score
    assert fair.relative_ap_drop == pytest.approx(1 - fair.ap / average_precision(static.matches))
    assert fair.speedup == pytest.approx(250e6 / fair.mean_cost)
    assert certainty.fair.choice.tolist() == decided_without_its_fold(trace, against, certainty.aim)
    assert certainty.family.policy(certainty.point, against(trace).tuning).tuned_on["baseline"] == "static"


def test_groups_share_a_fold(bench: Bench) -> None:
    groups = [f"video{place // 5}" for place in range(40)]
    objective = Objective("max_ap", min_speedup=1.2)
    found, _ = judge_families(["certainty"], bench, prepare, objective, groups)
    assert found["certainty"].fair.folds.tolist() == [fold_of(group) for group in groups]
    # Without a limit on the drop there is nothing to be stricter about.
    assert found["certainty"].aim == objective


def test_too_few_images_to_cross_fit(bench: Bench) -> None:
    found, _ = judge_families(["certainty"], bench, prepare, OBJECTIVE, ["one video"] * 40)
    assert found["certainty"].fair is None


def test_constant_statistics_are_left_out_with_the_reason() -> None:
    trace = constant_confidence(make_trace(30), "exit1", "exit2")
    bench = prepare(trace)
    found, left_out = judge_families(["mean_confidence", "agreement"], bench, prepare, OBJECTIVE)
    assert list(found) == ["agreement"]
    assert left_out == {
        "mean_confidence": "exit1: the value is 0.9 for all 30 images; exit2: the value is 0.9 for all 30 images"
    }
    with pytest.raises(UserError, match="family=mean_confidence has nothing to decide: exit1: the value is 0.9 for"):
        judge_families(["mean_confidence"], bench, prepare, OBJECTIVE)


def test_an_exit_that_tells_nothing_apart_is_passed_by() -> None:
    trace = constant_confidence(make_trace(30), "exit1")
    bench = prepare(trace)
    family = tune_family("mean_confidence", bench.tuning, bench.scorer)
    assert list(family.rules) == ["exit2"]
    assert {len(point.thresholds) for point in family.points} == {1}
    # A logistic rule does without the statistic.
    rules = tune_family("logistic", bench.tuning, bench.scorer).rules
    assert "mean_confidence" not in rules["exit1"].statistics
    assert "mean_confidence" in rules["exit2"].statistics


def test_a_rule_with_one_side_only_is_left_out() -> None:
    trace = make_trace(30)
    same = replace(trace, exits={**trace.exits, "exit1": trace.exits["full"], "exit2": trace.exits["full"]})
    bench = prepare(same)
    _, left_out = judge_families(["max_score", "logistic"], bench, prepare, OBJECTIVE)
    assert "stopping is right for all 30 images" in left_out["logistic"]


@pytest.mark.parametrize("part", ["scores", "logits"])
def test_scores_that_are_no_number_are_refused_with_the_image(part: str) -> None:
    trace = make_trace(12)
    table = trace.exits["exit2"].detections
    values = getattr(table, part).copy()
    values[table.offsets[7]] = np.nan
    exits = {**trace.exits, "exit2": replace(trace.exits["exit2"], detections=replace(table, **{part: values}))}
    image_id = trace.truth[7].image_id
    with pytest.raises(UserError, match=f"1 detections of exit2 have scores .* the first in image {image_id}:"):
        prepare(replace(trace, exits=exits))


def test_nothing_to_keep_is_refused() -> None:
    with pytest.raises(UserError, match="no image has an object"):
        prepare(make_trace(10, empty=1.0))
    trace = make_trace(10)
    blind = replace(trace, truth=tuple(replace(each, boxes=each.boxes * 0 + 1) for each in trace.truth))
    with pytest.raises(UserError, match=r"full finds none of the objects in 10 images \(AP 0\)"):
        prepare(blind)
    with pytest.raises(UserError, match="it holds no image"):
        prepare(trace.subset(np.zeros(0, np.int64)))
