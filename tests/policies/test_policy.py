import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cascade_exit.model import Digest
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.policy import Policy, read_policy, write_policy
from cascade_exit.policies.rules import PerClassRule, ThresholdRule, with_threshold
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

from .synthetic import make_trace
from .test_rules import LOGISTIC, ROUTER

TRACE = make_trace(12, classes=2, seed=3)
CALIBRATION = {
    "exit1": ExitCalibration(1.7, ((0.0, 0.0), (0.5, 0.25), (1.0, 0.9))),
    "exit2": ExitCalibration(0.8),
    "full": ExitCalibration(),
}


def policy_for(trace: Trace, **parts) -> Policy:
    return Policy(trace.header.model, trace.header.classes, **parts)


def full_policy() -> Policy:
    return policy_for(
        TRACE,
        rules={"exit1": replace(ROUTER, threshold=-0.1 - 0.2), "exit2": LOGISTIC},
        calibration=CALIBRATION,
        exit_rates={"exit1": 0.3, "exit2": 1 / 3, "full": 1 - 0.3 - 1 / 3},
        tuned_on={"role": "calibrate", "data": "d" * 64, "images": 30, "relative_ap_drop": 0.03, "cross_fitted": False},
        certificate={"images": 30, "epsilon": 0.05, "delta": 0.1, "bound": None},
        name="router",
    )


RULES = [
    *(ThresholdRule(name, 0.0) for name in sorted(STATISTICS)),
    PerClassRule((0.5, 0.3)),
    LOGISTIC,
    ROUTER,
]


def at_threshold(place: int | None, name: str, rank: float, calibration: dict[str, ExitCalibration]) -> dict:
    """One of the rules for an exit, with a threshold that is one of its own values or beyond all of them."""
    if place is None or (name == "exit1" and RULES[place].compares):
        return {}
    stops_all = policy_for(TRACE, rules={name: with_threshold(RULES[place], -math.inf)}, calibration=calibration)
    digests = (
        calibration[each].digest(TRACE.exits[each].digest) if calibration else TRACE.exits[each].digest
        for each in (name, "exit1")
    )
    values = sorted(stops_all.rules[name].values(*digests).tolist())
    thresholds = [-math.inf, *values, math.inf]
    return {name: with_threshold(RULES[place], thresholds[round(rank * (len(thresholds) - 1))])}


PLACE, RANK = st.none() | st.integers(0, len(RULES) - 1), st.floats(0, 1)


@settings(max_examples=25, deadline=None)
@given(first=PLACE, second=PLACE, ranks=st.tuples(RANK, RANK), calibrated=st.booleans())
def test_choosing_is_stopping_image_by_image(
    first: int | None, second: int | None, ranks: tuple[float, float], calibrated: bool
) -> None:
    calibration = CALIBRATION if calibrated else {}
    rules = at_threshold(first, "exit1", ranks[0], calibration) | at_threshold(second, "exit2", ranks[1], calibration)
    policy = policy_for(TRACE, rules=rules, calibration=calibration)
    choice = policy.choose(TRACE)
    assert choice.shape == (len(TRACE),)
    for image in range(len(TRACE)):
        previous = None
        for index, name in enumerate(TRACE.header.exit_names):
            digest = TRACE.exits[name].digest.of(slice(image, image + 1))
            if policy.stops(name, digest, previous).item():
                assert choice[image] == index
                break
            previous = digest


def test_the_rule_sees_calibrated_digests() -> None:
    seen: list[tuple[Digest, Digest | None]] = []

    class Spy(ThresholdRule):
        def values(self, digest: Digest, previous: Digest | None) -> torch.Tensor:
            seen.append((digest, previous))
            return digest.mean_confidence

    policy = policy_for(TRACE, rules={"exit2": Spy("agreement", 0.5)}, calibration=CALIBRATION)
    digest, previous = TRACE.exits["exit2"].digest, TRACE.exits["exit1"].digest
    policy.stops("exit2", digest, previous)
    torch.testing.assert_close(seen[0][0].logits, digest.logits / 0.8)
    torch.testing.assert_close(seen[0][1].logits, previous.logits / 1.7)


def test_no_rule_stops_nothing_and_full_stops_all() -> None:
    policy = policy_for(TRACE, rules={})
    digest = TRACE.exits["exit1"].digest
    assert not policy.stops("exit1", digest, None).any()
    assert policy.stops("full", digest, digest).all()
    assert (policy.choose(TRACE) == 2).all()


def test_infinite_thresholds() -> None:
    for threshold, place in ((-math.inf, 1), (math.inf, 2)):
        policy = policy_for(TRACE, rules={"exit2": ThresholdRule("agreement", threshold)})
        assert (policy.choose(TRACE) == place).all()


def test_knows_which_exits_compare() -> None:
    policy = policy_for(TRACE, rules={"exit1": ThresholdRule("max_score", 0.5), "exit2": LOGISTIC})
    assert [policy.compares(name) for name in TRACE.header.exit_names] == [False, True, False]


def test_an_empty_trace_has_no_choice() -> None:
    empty = make_trace(0, classes=2)
    policy = policy_for(empty, rules={"exit1": ThresholdRule("max_score", 0.5), "exit2": LOGISTIC})
    assert policy.choose(empty).shape == (0,)


def test_of_another_model_is_refused() -> None:
    policy = full_policy()
    policy.check(TRACE.header.model, TRACE.header.classes)
    with pytest.raises(UserError, match="policy router was tuned for model aaa.*, this is model bbb"):
        policy.check("b" * 64, TRACE.header.classes)
    with pytest.raises(UserError, match="is for the classes thing1, thing2, the model has thing1"):
        policy.check(TRACE.header.model, ("thing1",))
    with pytest.raises(UserError, match="is for the classes"):
        policy.choose(make_trace(5))
    with pytest.raises(UserError, match="was tuned for model"):
        replace(policy, model="b").choose(TRACE)


def test_exits_that_are_not_there_are_refused() -> None:
    two = make_trace(5, classes=2, exit_names=("exit1", "full"), sharpness=(1.0, 1.0))
    with pytest.raises(UserError, match="policy router has numbers for exit2, the model has only exit1, full"):
        full_policy().choose(two)


def test_no_numbers_are_refused_with_the_image() -> None:
    trace = make_trace(10, classes=2)
    trace.exits["exit1"].digest.logits[4, 7, 1] = math.nan
    policy = policy_for(trace, rules={"exit1": ThresholdRule("mean_confidence", 0.5)})
    with pytest.raises(UserError, match=rf"exit1 for image {trace.truth[4].image_id} .* \(1 of 10 images\)"):
        policy.choose(trace)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"rules": {"full": ThresholdRule("max_score", 0.5)}}, "rules must not name full"),
        ({"rules": {"exit1": LOGISTIC}}, "rules.exit1 must not compare with a previous exit"),
        ({"rules": {}, "exit_rates": {"exit1": 1.5, "full": -0.5}}, "exit_rates must lie in"),
        ({"rules": {}, "exit_rates": {"exit1": 0.5, "full": 0.4}}, "exit_rates must sum to 1, got 0.9"),
    ],
)
def test_what_cannot_be_meant_is_refused(parts: dict, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        policy_for(TRACE, **parts)


class TestFile:
    def test_comes_back_exactly(self, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy.json", full_policy())
        back = read_policy(tmp_path / "policy.json")
        assert back == full_policy()
        assert repr(back) == repr(full_policy())
        assert np.array_equal(back.choose(TRACE), full_policy().choose(TRACE))

    @example(threshold=math.inf, temperature=1.0, rate=0.1, fact=1)
    @example(threshold=-math.inf, temperature=0.1, rate=1 / 3, fact=1.0)
    @settings(max_examples=20, deadline=None)
    @given(
        threshold=st.floats(allow_nan=False),
        temperature=st.floats(1e-3, 1e3),
        rate=st.floats(0, 1),
        fact=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none() | st.text(),
    )
    def test_comes_back_exactly_with_any_number(
        self, tmp_path_factory: pytest.TempPathFactory, threshold: float, temperature: float, rate: float, fact
    ) -> None:
        policy = policy_for(
            TRACE,
            rules={"exit1": ThresholdRule("max_score", threshold)},
            calibration={"exit1": ExitCalibration(temperature)},
            exit_rates={"exit1": rate, "full": 1 - rate},
            tuned_on={"fact": fact},
        )
        path = tmp_path_factory.mktemp("policy") / "policy.json"
        write_policy(path, policy)
        assert repr(read_policy(path)) == repr(policy)

    def test_describes_itself(self, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy.json", full_policy())
        content = json.loads((tmp_path / "policy.json").read_text())
        assert content["schema_version"] == 1
        assert content["rules_in_words"]["exit2"].startswith("stop where a logistic model of max_score, agreement")
        assert content["exit_rates"]["exit1"] == 0.3
        assert len(content["sha256"]) == 64

    @pytest.mark.parametrize(
        ("damage", "line"),
        [
            (lambda text: text.replace("-0.30000000000000004", "-0.3"), "not what was written"),
            (lambda text: text.replace('"thing1"', '"thing9"'), "not what was written"),
            (lambda text: text[: len(text) // 2], "not readable as JSON"),
            (lambda text: "[]", "not a policy"),
            (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema_version is 2, this"),
            (lambda text: "{}", "schema_version is None"),
        ],
    )
    def test_damage_is_seen(self, tmp_path: Path, damage: Callable[[str], str], line: str) -> None:
        path = tmp_path / "policy.json"
        write_policy(path, full_policy())
        text = path.read_text()
        assert damage(text) != text
        path.write_text(damage(text))
        with pytest.raises(UserError, match=line) as caught:
            read_policy(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="policy.json: no such file"):
            read_policy(tmp_path / "policy.json")

    def test_a_statistic_that_is_gone_gets_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "policy.json"
        write_policy(path, policy_for(TRACE, rules={"exit1": ThresholdRule("top_mean", 0.3)}))
        monkeypatch.delitem(STATISTICS, "top_mean")
        with pytest.raises(UserError, match="rules.exit1.*statistic must be one of .*got 'top_mean'") as caught:
            read_policy(path)
        assert "\n" not in str(caught.value)
