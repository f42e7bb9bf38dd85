"""From a model's name to a detector, or with a policy to a runner."""

from pathlib import Path

import pytest
import torch

import cascade_exit
from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import UserError
from cascade_exit.runtime import Detector, Runner, rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint
from tests.runtime.cascades import CLASSES, checkpoint, pictures


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    write_kept_model(folder, rounded_to_16_bit(checkpoint("plain")), {})
    return folder


def stops_at_once(model: str) -> Policy:
    return Policy(model=model, classes=CLASSES, rules={"exit1": ThresholdRule("max_score", -1.0)}, name="at once")


def test_with_a_policy_it_stops(kept, tmp_path):
    detector = cascade_exit.load(kept)
    assert isinstance(detector, Detector)
    policy, photo = stops_at_once(model_fingerprint(kept)), pictures()[0]
    write_policy(tmp_path / "mine.json", policy)
    expected = detector.every_exit(photo)["exit1"]
    for form in (policy, tmp_path / "mine.json", str(tmp_path / "mine.json")):
        runner = cascade_exit.load(kept, policy=form)
        assert isinstance(runner, Runner)
        assert runner.detect(photo).exit_name == "exit1"
        assert all(torch.equal(a, b) for a, b in zip(runner(photo), expected, strict=True))


def test_the_shipped_policy_lies_beside_the_weights(kept):
    (kept / "policy.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"policy=shipped: .*small has no policy\.json"):
        cascade_exit.load(kept, policy="shipped")
    write_policy(kept / "policy.json", stops_at_once(model_fingerprint(kept)))
    assert cascade_exit.load(kept, policy="shipped").policy.name == "at once"


def test_a_policy_of_another_model_is_refused(kept):
    with pytest.raises(UserError, match="was tuned for model 0000"):
        cascade_exit.load(kept, policy=stops_at_once("0000"))


def test_a_missing_policy_is_named(kept):
    with pytest.raises(UserError, match=r"policy=nowhere\.json: neither none, shipped nor a file; .*nowhere"):
        cascade_exit.load(kept, policy="nowhere.json")


def test_the_policy_of_a_tune_run(kept, tmp_path):
    run = tmp_path / "runs" / "tune" / "mine-1234abcd"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"mine-1234abcd has no policy\.json; a finished tune run has one"):
        cascade_exit.load(kept, policy=run)
    write_policy(run / "policy.json", stops_at_once(model_fingerprint(kept)))
    for form in (run, str(run), "1234"):
        assert cascade_exit.load(kept, root=tmp_path / "runs", policy=form).policy.name == "at once"
