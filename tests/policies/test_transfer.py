"""What goes over to another model, what stays behind, and what cannot go."""

import numpy as np
import pytest

from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.rules import PerClassRule, ThresholdRule
from cascade_exit.policies.transfer import transfer_policy
from cascade_exit.runs import UserError
from tests.policies.synthetic import make_trace

EXITS = ("exit1", "exit2", "full")
RULES = {"exit1": ThresholdRule("top_mean", 0.05), "exit2": ThresholdRule("agreement", 0.4)}


def policy_of(trace, **more) -> Policy:
    return Policy(**({"model": trace.header.model, "classes": trace.header.classes, "rules": RULES} | more))


def other_model(trace):
    return trace.__class__(
        trace.header.__class__(**{**vars(trace.header), "model": "b" * 64}),
        trace.truth,
        trace.difficulties,
        trace.exits,
    )


def test_rules_and_calibration_decide_as_they_are():
    one, many = make_trace(40), other_model(make_trace(60, classes=4))
    calibration = {"exit1": ExitCalibration(2.0, ((0.0, 0.0), (1.0, 0.5)))}
    tuned = policy_of(one, calibration=calibration, name="tuned")
    with pytest.raises(UserError, match="transfer=true shows what it does unchanged"):
        tuned.choose(many)
    moved = transfer_policy(tuned, many.header.model, many.header.classes, EXITS)
    assert (moved.rules, moved.calibration) == (RULES, calibration)
    by_hand = policy_of(many, calibration=calibration)
    choice = moved.choose(many)
    np.testing.assert_array_equal(choice, by_hand.choose(many))
    assert np.unique(choice).size == 3
    assert moved.name == "tuned, transferred"


def test_what_was_said_of_the_old_model_stays_behind():
    one = make_trace(30)
    tuned = policy_of(
        one, exit_rates={"exit1": 0.5, "full": 0.5}, certificate={"epsilon": 0.05}, tuned_on={"images": 30}
    )
    moved = transfer_policy(tuned, "b" * 64, ("cat",), EXITS)
    assert (moved.exit_rates, moved.certificate, moved.tuned_on) == ({}, None, {"images": 30})
    assert transfer_policy(tuned, one.header.model, one.header.classes, EXITS) is tuned


def test_an_exit_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="has numbers for exit2, the model has only exit1, full"):
        transfer_policy(policy_of(make_trace(30)), "b" * 64, ("cat",), ("exit1", "full"))


def test_thresholds_per_class_follow_their_classes_by_name():
    rule = PerClassRule((0.5, 0.4, 0.3), threshold=-0.1)
    many = Policy(model="a", classes=("cat", "dog", "tv"), rules={"exit1": rule})
    moved = transfer_policy(many, "b", ("tv", "cat"), EXITS)
    assert moved.rules["exit1"] == PerClassRule((0.3, 0.5), threshold=-0.1)
    with pytest.raises(UserError, match=r"a threshold per class and none for bird, sofa; take a policy of another"):
        transfer_policy(many, "b", ("tv", "bird", "sofa"), EXITS)
