"""Two static detectors become one that looks twice, without training; from there to a policy that keeps its promise."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cascade_exit.data import ClassMap
from cascade_exit.model import DecodingConfig
from cascade_exit.model.checkpoint import Checkpoint, read_checkpoint
from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import Manifest
from cascade_exit.runtime import Detector, load, read_kept_model, rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint
from cascade_exit.trace import TRACE_NAME, read_trace
from tests.conftest import TINY_ROOMS
from tests.model.networks import detector

SMALL = [
    *("experiment=fast_chair", "data=rooms", "logger=csv", "trainer.progress=false", "trainer.batch_size=8"),
    *("model.input.size_px=96", "model.looks.exit1.size_px=64", "trainer.max_epochs=0"),
    *("model/backbone=large", "model/backbone@model.looks.exit1.backbone=large"),
    *("model.backbone.width=0.35", "model.looks.exit1.backbone.width=0.35"),
]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> list[str]:
    """Overrides that name a tiny generated set of two classes."""
    return [f"data.root={tmp_path_factory.mktemp('rooms')}", *TINY_ROOMS, "data.classes=[chair,tv]"]


@pytest.fixture(scope="module")
def statics(tmp_path_factory) -> dict[str, str]:
    """Kept static detectors of two sizes."""
    root = tmp_path_factory.mktemp("models")
    for name, size_px in (("exit1", 64), ("full", 96)):
        network = detector({}, size_px=size_px, seed=size_px)
        write_kept_model(
            root / name,
            Checkpoint(network.config, ClassMap(("chair", "tv")), DecodingConfig(), network.state_dict()),
            {},
        )
    return {name: str(root / name) for name in ("exit1", "full")}


@pytest.fixture(scope="module")
def made(statics, cli, tmp_path_factory, rooms):
    """The run that keeps both as one model, and what it said."""
    root = tmp_path_factory.mktemp("runs")
    init = f"init={{exit1: {statics['exit1']}, full: {statics['full']}}}"
    answer = cli("train", *SMALL, *rooms, f"runs_root={root}", init)
    assert answer.code == 0, answer.err
    return answer.run, answer.err, f"runs_root={root}"


def test_both_are_kept_as_they_are(statics, made):
    run, said, _ = made
    assert f"Starting from {statics['exit1']} (exit1), {statics['full']} (full): exit1: " in said
    checkpoint = read_checkpoint(run / "checkpoints" / "best.ckpt")
    kept = {name: read_kept_model(Path(folder)).checkpoint.state for name, folder in statics.items()}
    assert all(torch.equal(checkpoint.state[f"looks.exit1.{key}"], value) for key, value in kept["exit1"].items())
    assert all(torch.equal(checkpoint.state[key], value) for key, value in kept["full"].items())
    assert len(checkpoint.state) == len(kept["exit1"]) + len(kept["full"])
    manifest = Manifest.read(run)
    assert manifest.parents == ["models/exit1", "models/full"]
    assert {"init exit1", "init full"} <= manifest.data.keys()
    exits = json.loads((run / "metrics.json").read_text())["exits"]
    assert list(exits) == ["exit1", "full"]
    assert exits["exit1"]["macs"] < exits["full"]["macs"] / 2


def test_it_is_kept_over_the_static_model_that_it_ends_in(statics, made, cli, tmp_path):
    run, _, runs = made
    models = shutil.copytree(Path(statics["full"]).parent, tmp_path / "models")
    words = ["export", f"run={run}", f"models_root={models}", runs]
    kept = cli(*words, "name=fast", f"base={models / 'full'}")
    assert kept.code == 0, kept.err
    assert f"MB, the rest in {models / 'full'})" in kept.err
    manifest = Manifest.read(kept.run)
    assert manifest.parents[1:] == ["models/full"]
    assert manifest.data["base"] == model_fingerprint(models / "full")
    assert all(name.startswith("looks.exit1.") for name in load_file(models / "fast" / "model.safetensors"))
    expected = rounded_to_16_bit(read_checkpoint(run / "checkpoints" / "best.ckpt"))
    photo = torch.randint(256, (3, 80, 120), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name, found in Detector(expected).every_exit(photo).items():
        assert torch.equal(load(models / "fast").every_exit(photo)[name].boxes, found.boxes)

    runs_before, file = len(list(run.parents[1].glob("*/*"))), models / "full" / "model.safetensors"
    before = file.read_bytes()
    refused = cli(*words, "name=full")
    assert refused.code == 1
    assert [line.partition(",")[0] for line in refused.errors] == [
        "name=full: other weights of that name are the base of fast"
    ]
    assert (file.read_bytes(), len(list(run.parents[1].glob("*/*")))) == (before, runs_before)
    refused = cli(*words, "name=other", f"base={models / 'gone'}")
    assert refused.code == 1
    assert len(refused.errors) == 1
    refused = cli(*words, "name=other", f"base={models / 'full'}", "format=onnx")
    assert "base, evaluation, licence and origin must not be given with graphs" in refused.errors[0]


@pytest.mark.slow
def test_its_policy_is_evaluated_and_it_is_exported(statics, made, cli, tmp_path):
    run, _, runs = made
    traced = cli("trace", f"run={run}", "split=test", runs)
    assert traced.code == 0, traced.err
    confidence = read_trace(traced.run / TRACE_NAME).exits["exit1"].digest.mean_confidence
    rule = ThresholdRule("mean_confidence", float(confidence.sort().values[3:5].double().mean()))
    write_policy(tmp_path / "policy.json", Policy(model_fingerprint(run), ("chair", "tv"), {"exit1": rule}))
    # Refuses where the runner does not stop as the trace says, or finds other boxes.
    words = [f"policy={tmp_path / 'policy.json'}", "latency_images=8", "bootstrap=20", "pictures=0"]
    judged = cli("evaluate", f"run={run}", *words, runs)
    assert judged.code == 0, judged.err
    rates = json.loads((judged.run / "metrics.json").read_text())["policy"]["exit_rates"]
    assert 0 < rates["exit1"] < 1

    kept = cli("export", f"run={run}", "name=fast", f"models_root={tmp_path}", runs)
    assert kept.code == 0, kept.err
    description = json.loads((tmp_path / "fast" / "model.json").read_text())
    assert description["starting_weights"]["init"] == {"exit1": "exit1", "full": "full"}
    assert description["model"]["looks"]["exit1"]["size_px"] == 64


def test_what_does_not_start_whole_is_not_kept(statics, cli, tmp_path, rooms):
    place = [*rooms, f"runs_root={tmp_path}"]
    answer = cli("train", *SMALL, *place, f"init={{full: {statics['full']}}}", "optimizer.frozen_features=0")
    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "trainer.max_epochs=0 keeps the starting weights, which must be complete" in answer.errors[0]
    assert not list(tmp_path.glob("train/*"))
