import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.policies.operating_points import (
    PLAN_GRID,
    OperatingPoint,
    choose_exits,
    default_grid,
    pareto_front,
    quantile_grid,
    rule_values,
    sweep,
)
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.rules import ThresholdRule, with_threshold
from cascade_exit.policies.scoring import Baseline, Score, Scorer, Static
from cascade_exit.runs import UserError
from tests.evaluation.reference import reference_metrics

from .synthetic import MACS, make_trace

RULES = {"exit1": ThresholdRule("top_mean", 0.0), "exit2": ThresholdRule("agreement", 0.0)}


def point(cost: float, ap: float, drop: float = 0.0) -> OperatingPoint:
    return OperatingPoint.at({"exit1": 0.5}, Score({"full": 1.0}, float(ap), float(ap), float(cost), 10 / cost, drop))


def test_choice_is_that_of_the_policy() -> None:
    trace = make_trace(30, classes=2, sharpness=(2.0, 1.0, 0.7))
    calibration = fit_calibration(trace)
    values = rule_values(trace, RULES, calibration)
    grid = quantile_grid(values, 2)
    for first in grid["exit1"]:
        for second in grid["exit2"]:
            thresholds = {"exit1": first, "exit2": second}
            rules = {name: with_threshold(rule, thresholds[name]) for name, rule in RULES.items()}
            policy = Policy(trace.header.model, trace.header.classes, rules, calibration)
            assert np.array_equal(policy.choose(trace), choose_exits(trace.header.exit_names, values, thresholds))


def test_figures_of_a_point() -> None:
    trace = make_trace(50, classes=2)
    scorer = Scorer(trace, MACS)
    values = rule_values(trace, RULES)
    found = sweep(scorer, values, {name: (float(np.median(values[name])),) for name in RULES})[0]
    choice = choose_exits(trace.header.exit_names, values, found.thresholds)
    assert 0 < found.exit_rates["exit1"] < 1
    mixed = {
        image.image_id: trace.exits[trace.header.exit_names[exit_]].detections.of_image(place)
        for place, (image, exit_) in enumerate(zip(trace.truth, choice, strict=True))
    }
    theirs = reference_metrics(trace.truth, mixed, trace.header.classes)
    full = trace.exits["full"].detections.by_image_id([image.image_id for image in trace.truth])
    full_ap = reference_metrics(trace.truth, full, trace.header.classes)["AP"]
    costs = [MACS[trace.header.exit_names[exit_]] for exit_ in choice]
    assert found.ap == pytest.approx(theirs["AP"])
    assert found.ap50 == pytest.approx(theirs["AP50"])
    assert found.mean_cost == pytest.approx(np.mean(costs))
    assert found.speedup == pytest.approx(MACS["full"] / np.mean(costs))
    assert found.relative_ap_drop == pytest.approx((full_ap - theirs["AP"]) / full_ap)
    assert found.exit_rates == {
        name: pytest.approx(np.mean(choice == index)) for index, name in enumerate(trace.header.exit_names)
    }


def test_another_baseline() -> None:
    trace = make_trace(30)
    scorer = Scorer(trace, MACS, baseline=Baseline(0.5, 0.7, 3e8, "static"))
    score = scorer.score(np.zeros(30, int))
    assert score.speedup == pytest.approx(300 / 180)
    assert score.relative_ap_drop == pytest.approx((0.5 - score.ap) / 0.5)


def test_static_model_is_a_baseline_for_any_part_of_its_images() -> None:
    trace = make_trace(40)
    static = Static("static", calibrated_matches(trace, "exit2"), 2e8)
    part = trace.subset(np.arange(3, 40, 2))
    table = part.exits["exit2"].detections
    found = table.by_image_id([image.image_id for image in part.truth])
    theirs = reference_metrics(part.truth, found, part.header.classes)
    baseline = static.on(part)
    assert (baseline.name, baseline.cost) == ("static", 2e8)
    assert baseline.ap == pytest.approx(theirs["AP"])
    assert baseline.ap50 == pytest.approx(theirs["AP50"])
    assert baseline.ap != static.on(trace).ap
    with pytest.raises(UserError, match=r"baseline static: it was run on 19 of the 40 images of the trace of"):
        Static("static", calibrated_matches(part, "exit2"), 2e8).on(trace)


def test_grids() -> None:
    trace = make_trace(40)
    plan = {name: ThresholdRule("mean_confidence", 0.0) for name in ("exit1", "exit2")}
    grid = default_grid(plan, rule_values(trace, plan))
    assert grid == PLAN_GRID
    assert len(sweep(Scorer(trace, MACS), rule_values(trace, plan), grid)) == 16
    values = rule_values(trace, RULES)
    grid = default_grid(RULES, values, 9)
    stopped = [np.mean(values["exit1"] >= threshold) for threshold in grid["exit1"]]
    assert stopped == pytest.approx(np.linspace(1, 0, 11), abs=0.06)
    assert grid["exit1"][0] == -math.inf


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_pareto_front_by_brute_force(pairs: list[tuple[int, int]]) -> None:
    front = [(each.mean_cost, each.ap) for each in pareto_front([point(*pair) for pair in pairs])]
    beaten = {
        (cost, ap)
        for cost, ap in pairs
        for other_cost, other in pairs
        if other_cost <= cost and other >= ap and (other_cost, other) != (cost, ap)
    }
    assert front == sorted(set(pairs) - beaten)


def test_bad_input_gets_one_clear_line() -> None:
    trace = make_trace(12)
    values = rule_values(trace, RULES)
    scorer = Scorer(trace, MACS)
    constant = {"exit1": np.full(12, 0.5)}
    with pytest.raises(UserError, match=r"rule of exit1: all 12 images have the value 0\.5"):
        quantile_grid(constant)
    with pytest.raises(UserError, match="thresholds of exit2: must be ascending, got 0.7, 0.6"):
        sweep(scorer, values, {"exit1": (0.1, 0.2), "exit2": (0.7, 0.6)})
    with pytest.raises(UserError, match="thresholds of exit2: none given"):
        sweep(scorer, values, {"exit1": (0.1, 0.2)})
    with pytest.raises(UserError, match="rules: exit9 is no exit"):
        rule_values(trace, {"exit9": RULES["exit1"]})
    with pytest.raises(UserError, match="costs: exit2 has none"):
        Scorer(trace, {"exit1": 1.0, "full": 2.0})
    with pytest.raises(UserError, match="costs: each must be above 0"):
        Scorer(trace, {**MACS, "exit1": 0})
    with pytest.raises(UserError, match="it holds no image"):
        Scorer(make_trace(0), MACS)
    with pytest.raises(UserError, match="no image has an object"):
        Scorer(make_trace(5, empty=1.0), MACS)
    trace.exits["exit1"].digest.logits[3] = math.nan
    with pytest.raises(UserError, match=rf"rule of exit1: no number for image {trace.truth[3].image_id} \(1 of 12"):
        rule_values(trace, RULES)
