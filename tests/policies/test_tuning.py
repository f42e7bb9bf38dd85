"""Every family, from trace to policy: the policy does on the trace what its operating point said."""

from dataclasses import replace

import numpy as np
import pytest

from cascade_exit.policies import Objective, Policy
from cascade_exit.policies.objectives import pick_point
from cascade_exit.policies.operating_points import PLAN_GRID
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.rules import with_threshold
from cascade_exit.policies.scoring import Scorer, Static
from cascade_exit.policies.tuning import Tuning, family_names, tune_family, tune_policy
from cascade_exit.runs import UserError
from tests.policies.synthetic import make_trace


@pytest.fixture(scope="module")
def tuning():
    trace = make_trace(120)
    costs = {name: float(macs) for name, macs in trace.header.macs.items()}
    return Tuning(trace, costs, fit_calibration(trace), quantiles=6)


@pytest.fixture(scope="module")
def scorer(tuning):
    return Scorer(tuning.trace, tuning.costs, tuning.calibration)


@pytest.mark.parametrize("name", family_names())
def test_the_policy_does_what_its_operating_point_said(name, tuning, scorer):
    family = tune_family(name, tuning, scorer)
    assert all(point in family.points for point in family.front)
    for point in family.front[:: max(1, len(family.front) // 3)]:
        policy = family.policy(point, tuning)
        choice = policy.choose(tuning.trace)
        assert scorer.ap(choice) == point.ap
        assert scorer.mean_cost(choice) == pytest.approx(point.mean_cost)
        rates = np.bincount(choice, minlength=3) / len(tuning.trace)
        assert list(policy.exit_rates.values()) == pytest.approx(list(rates))


def test_the_plan_has_its_own_grid(tuning, scorer):
    family = tune_family("plan", tuning, scorer)
    assert len(family.points) == 16
    assert {point.thresholds["exit1"] for point in family.points} == set(PLAN_GRID["exit1"])


def test_agreement_has_nothing_to_compare_with_at_the_first_exit(tuning, scorer):
    assert list(tune_family("agreement", tuning, scorer).rules) == ["exit2"]


def test_tuned_policy_is_the_point_picked(tuning, scorer):
    objective = Objective("max_speedup", max_relative_ap_drop=0.1)
    policy = tune_policy("certainty", tuning, objective)
    point = pick_point(tune_family("certainty", tuning, scorer).points, objective)
    stopping = {name: threshold for name, threshold in point.thresholds.items() if threshold < np.inf}
    assert {name: rule.threshold for name, rule in policy.rules.items()} == stopping
    assert policy.tuned_on["images"] == 120
    assert point.speedup > 1


def test_unknown_family_is_refused_with_the_nearest(tuning, scorer):
    with pytest.raises(UserError, match="did you mean 'router'"):
        tune_family("routr", tuning, scorer)
    static = make_trace(20, exit_names=("full",), sharpness=(2.0,))
    with pytest.raises(UserError, match="no exit that it could decide at"):
        tune_family("certainty", Tuning(static, {"full": 1.0}, {}), Scorer(static, {"full": 1.0}))


def test_a_rule_that_never_stops_is_left_out(tuning, scorer):
    family = tune_family("certainty", tuning, scorer)
    for point in family.points:
        policy = family.policy(point, tuning)
        assert set(policy.rules) == {name for name, threshold in point.thresholds.items() if threshold < np.inf}
        assert np.array_equal(policy.choose(tuning.trace), policy_with_all_rules(family, point).choose(tuning.trace))


def policy_with_all_rules(family, point):
    header = make_trace(1).header
    rules = {name: with_threshold(rule, point.thresholds[name]) for name, rule in family.rules.items()}
    return Policy(model=header.model, classes=header.classes, rules=rules)


def test_exits_that_are_passed_by_have_no_rule_and_are_not_looked_at(tuning, scorer):
    passing = replace(tuning, deciding=("exit2",))
    assert list(tune_family("certainty", passing, scorer).rules) == ["exit2"]
    with pytest.raises(UserError, match="compares with the exit before, which is passed by"):
        tune_family("agreement", passing, scorer)
    assert list(tune_family("agreement", replace(tuning, deciding=("exit1", "exit2")), scorer).rules) == ["exit2"]


def test_speedup_may_be_over_the_last_exit_alone(tuning):
    static = Static("full", calibrated_matches(tuning.trace, "full"), 300e6)
    alone = replace(tuning, static=static).scorer(tuning.trace)
    everything = np.full(len(tuning.trace), 2)
    assert alone.score(everything).speedup == pytest.approx(300e6 / tuning.costs["full"])
