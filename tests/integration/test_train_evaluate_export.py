"""The path of a user: train, evaluate, export, load, predict; and the same command twice."""

import json

import pytest
import torch
from PIL import Image

import cascade_exit
from cascade_exit.model.checkpoint import read_checkpoint
from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import Manifest
from cascade_exit.runtime.detector import model_fingerprint
from cascade_exit.trace import read_trace
from tests.evaluation.reference import reference_metrics

FAST = ["experiment=debug_rooms", "trainer.progress=false", "model.input.size_px=96", "trainer.max_epochs=3"]


@pytest.fixture(scope="module")
def trained(cli, tmp_path_factory, rooms):
    """A trained run's folder, the command that made it, and the folder of all runs."""
    root = tmp_path_factory.mktemp("runs")
    words = ["train", *FAST, *rooms, f"runs_root={root}"]
    answer = cli(*words)
    assert answer.code == 0, answer.err
    return answer.run, words, root


def test_metrics_follow_the_contract(trained):
    folder, _, _ = trained
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["images"] == 8
    assert list(metrics["exits"]) == ["exit1", "exit2", "full"]
    for figures in metrics["exits"].values():
        assert {"AP", "AP50", "AP75", "AR100", "per_class", "macs", "parameters"} <= figures.keys()
        assert 0 <= figures["AP"] <= 1
    assert metrics["exits"]["exit1"]["macs"] < metrics["exits"]["exit2"]["macs"] < metrics["exits"]["full"]["macs"]
    assert {"run", "parents", "git", "machine", "versions", "command", "backend", "threads"} == metrics[
        "provenance"
    ].keys()
    manifest = Manifest.read(folder)
    assert manifest.state == "finished"
    assert metrics["provenance"]["run"] == manifest.id == folder.name[-8:]
    assert (folder / "figures" / "epoch_002" / "exits.png").exists()
    assert (folder / "figures" / "epoch_002" / "confidence.png").exists()


def test_checkpoint_is_plain_and_holds_the_class_map(trained):
    folder, _, _ = trained
    content = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["hyper_parameters"]["classes"] == ["chair"]
    assert read_checkpoint(folder / "checkpoints" / "best.ckpt").class_map.names == ("chair",)


def test_same_command_shows_the_finished_run(trained, cli):
    folder, words, _ = trained
    before = (folder / "manifest.json").read_text()
    answer = cli(*words)
    assert answer.code == 0
    assert answer.run == folder
    assert "full" in answer.err  # the table of its exits
    assert (folder / "manifest.json").read_text() == before


def test_going_on_from_a_finished_run_is_a_new_run_with_that_parent(trained, cli):
    folder, words, _ = trained
    answer = cli(*words, f"run={folder.name[-8:]}", "callbacks.ema_decay=null", "trainer.limit_train_batches=1")
    assert answer.code == 0, answer.err
    manifest = Manifest.read(answer.run)
    assert manifest.parents == [folder.name[-8:]]
    tensors = len(read_checkpoint(folder / "checkpoints" / "best.ckpt").state)
    assert (
        f"Starting from {folder.name[-8:]}: {tensors} tensors taken over, 0 of another shape, 0 missing" in answer.err
    )
    assert manifest.metrics["init"].startswith(f"{tensors} tensors taken over")


def test_evaluate_export_load_predict(trained, cli, tmp_path):
    folder, _, root = trained
    models = tmp_path / "models"
    kept = cli("export", f"run={folder.name[-8:]}", "name=tiny", f"models_root={models}", f"runs_root={root}")
    assert kept.code == 0, kept.err
    data = [f"data.root={Manifest.read(folder).config['data']['root']}"]
    words = ["evaluate", f"run={models}/tiny", "data=coco", *data, "data.test.annotations=annotations/test.json"]
    measured = cli(*words, f"baseline={folder}", "bootstrap=20", "pictures=2", f"runs_root={root}")
    assert measured.code == 0, measured.err
    metrics = json.loads((measured.run / "metrics.json").read_text())
    assert metrics["images"] == 8
    assert metrics["baseline"]["run"] == folder.name[-8:]
    # Weights in 16 bit must not change what is found: full of the kept model is full of the run.
    assert metrics["exits"]["full"]["AP50"] == pytest.approx(metrics["baseline"]["AP50"], abs=0.02)
    assert (measured.run / "figures" / "exits.png").exists()
    again = cli(
        "export",
        f"run={folder.name[-8:]}",
        "name=tiny",
        f"models_root={models}",
        f"runs_root={root}",
        f"evaluation={measured.run.name[-8:]}",
        "licence=CC0",
    )
    assert again.code == 0, again.err
    description = json.loads((models / "tiny" / "model.json").read_text())
    assert description["figures"]["exits"].keys() == metrics["exits"].keys()
    assert description["classes"] == ["chair"]
    # Nothing of the machine that it was made on.
    assert str(root.parent) not in (models / "tiny" / "model.json").read_text()

    detector = cascade_exit.load(models / "tiny")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (300, 200), (90, 120, 60)).save(photo)
    found = detector.every_exit(photo)
    assert list(found) == ["exit1", "exit2", "full"]
    boxes, scores, labels = detector(photo)
    assert boxes.shape == (len(scores), 4)
    assert (boxes[:, [0, 2]] <= 300).all()
    assert (boxes[:, [1, 3]] <= 200).all()
    assert set(labels.tolist()) <= {1}

    drawn = cli("predict", f"run={models}/tiny", f"source={photo}", "score_threshold=0.01", f"runs_root={root}")
    assert drawn.code == 0, drawn.err
    with Image.open(drawn.run / "figures" / "photo.png.png") as picture:
        assert picture.width > 1000


def test_export_ships_a_policy_of_the_kept_weights_and_no_other(trained, cli, tmp_path):
    folder, _, root = trained
    words = ["export", f"run={folder}", "name=tiny", f"models_root={tmp_path}", f"runs_root={root}"]
    assert cli(*words).code == 0
    kept, file = tmp_path / "tiny", tmp_path / "policy.json"
    rules = {"exit1": ThresholdRule("max_score", 0.0)}
    write_policy(file, Policy("0" * 16, ("chair",), rules, name="of others"))
    refused = cli(*words, f"policy={file}")
    assert refused.code == 1
    assert "was tuned for model 0000000000000000" in refused.err
    assert not (kept / "policy.json").exists()

    write_policy(file, Policy(model_fingerprint(kept), ("chair",), rules, name="its own"))
    assert cli(*words, f"policy={file}").code == 0
    assert cli(*words).code == 0  # without naming it again: still of these weights
    stopped = cascade_exit.load(kept, policy="shipped").detect(Image.new("RGB", (300, 200)))
    assert stopped.exit_name == "exit1"

    write_policy(kept / "policy.json", Policy("0" * 16, ("chair",), rules, name="of weights before"))
    assert "was of other weights and is removed" in cli(*words).err
    assert not (kept / "policy.json").exists()


def test_evaluate_uses_the_run_s_own_data(trained, cli):
    folder, _, root = trained
    answer = cli("evaluate", f"run={folder}", "role=val", "bootstrap=0", "pictures=0", f"runs_root={root}")
    assert answer.code == 0, answer.err
    of_training = json.loads((folder / "metrics.json").read_text())["exits"]
    of_evaluation = json.loads((answer.run / "metrics.json").read_text())["exits"]
    for name in of_training:
        assert of_evaluation[name]["AP"] == pytest.approx(of_training[name]["AP"], abs=1e-6)


def test_describe(cli, rooms, tmp_path):
    answer = cli("describe", "model=cascade", *rooms, f"runs_root={tmp_path}")
    assert answer.code == 0, answer.err
    description = json.loads((answer.run / "description.json").read_text())
    assert description["roles"]["train"]["images"] == 24
    assert list(description["costs"]) == ["exit1", "exit2", "full"]


def test_trace_holds_what_evaluation_measured(trained, cli):
    folder, _, root = trained
    place = f"runs_root={root}"
    traced = cli("trace", f"run={folder}", "split=test", place)
    assert traced.code == 0, traced.err
    trace = read_trace(traced.run / "trace.safetensors")
    assert (trace.header.role, trace.header.classes, len(trace)) == ("test", ("chair",), 8)
    measured = json.loads(
        (cli("evaluate", f"run={folder}", "bootstrap=0", "pictures=0", place).run / "metrics.json").read_text()
    )
    assert trace.header.data == measured["data"]["fingerprint"]
    for name, figures in measured["exits"].items():
        found = trace.exits[name].detections.by_image_id([image.image_id for image in trace.truth])
        expected = reference_metrics(trace.truth, found, trace.header.classes)["AP"]
        assert figures["AP"] == pytest.approx(expected, abs=1e-6)
        assert trace.header.macs[name] == figures["macs"]
    # By id rather than by path, and again: the same run.
    assert cli("trace", f"run={folder.name[-8:]}", "split=test", place).run == traced.run
