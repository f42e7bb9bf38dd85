"""Phase 3 end to end on rooms with all twelve classes: one epoch of its experiment, trace, policy, evaluation."""

import json

import pytest

from cascade_exit.config import TrainConfig
from cascade_exit.config.app import compose
from cascade_exit.data.rooms.config import COCO_CATEGORY_IDS
from cascade_exit.policies import read_policy
from cascade_exit.runs import Manifest, build
from cascade_exit.trace import read_trace
from tests.conftest import REPOSITORY

BALANCE = ["sampling=repeat_factor", "sampling.threshold=0.3", "loss.classification=focal"]
BALANCE += ["loss.class_balance_beta=0.99"]
SMALL = [
    "model.input.size_px=96",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "trainer.batch_size=8",
    "trainer.progress=false",
    "logger=csv",
]
SMALL += ["callbacks.pictures=0", "data.rooms.images={train: 48, val: 8, calibrate: 16, test: 16}"]


def test_rooms12_names_every_class_that_can_be_drawn():
    config = build(TrainConfig, compose("train", ["data=rooms12"]))
    assert config.data.name == "rooms"
    assert set(config.data.classes) == set(config.data.rooms.classes) == set(COCO_CATEGORY_IDS)
    assert config.data.root != build(TrainConfig, compose("train", ["data=rooms"])).data.root


@pytest.mark.parametrize("name", ["phase3_multi13", "static_multi13"])
def test_experiments_with_many_classes_train_forty_epochs(name):
    config = build(TrainConfig, compose("train", [f"experiment={name}", "init=some.pt"]))
    assert config.trainer.max_epochs == 40
    assert len(config.data.classes) == 13


@pytest.mark.slow
def test_one_epoch_of_phase_3_on_rooms(cli, tmp_path):
    root = f"runs_root={tmp_path / 'runs'}"

    def run(*words):
        answer = cli(*words, root)
        assert answer.code == 0, answer.err
        return answer.run

    words = ["experiment=phase3_multi13", "data=rooms12", f"data.root={tmp_path / 'rooms'}", *SMALL, *BALANCE]
    trained = run("train", *words, f"init={REPOSITORY / 'models' / 'chair'}")
    report = Manifest.read(trained).metrics["init"]
    assert "0 of another shape, 6 missing, 0 unused; initialised anew: full.top_down.0, full.top_down.1; " in report
    assert "; classes taken over: chair; new classes: couch, bed" in report

    traced = run("trace", f"run={trained.name[-8:]}", "split=calibrate")
    classes = read_trace(traced / "trace.safetensors").header.classes
    assert set(classes) == set(COCO_CATEGORY_IDS)
    tuned = run("tune", f"run={trained.name[-8:]}", "family=certainty", "quantiles=4", "pictures=0")
    assert read_policy(tuned / "policy.json").exit_rates.keys() == {"exit1", "exit2", "full"}
    few = ["latency_images=4", "bootstrap=50", "pictures=0"]
    judged = run("evaluate", f"run={trained.name[-8:]}", "policy=shipped", *few)
    metrics = json.loads((judged / "metrics.json").read_text())
    assert metrics["images"] == 16
    for figures in metrics["exits"].values():
        # A class without a box in the test role has no AP.
        assert figures["per_class"].keys() <= set(classes)
        assert len(figures["per_class"]) > 6
    assert "policy" in metrics
