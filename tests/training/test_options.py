"""What the settings of trainer and callbacks do to a short training run."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from cascade_exit.config import TrainConfig
from cascade_exit.config.app import compose
from cascade_exit.data import ImageStore, load_roles
from cascade_exit.model import CascadeDetector
from cascade_exit.model.checkpoint import read_state_file
from cascade_exit.runs import UserError, build, open_run
from cascade_exit.tracking import finish_logger, make_logger
from cascade_exit.training import TrainingSets, find_start, fit
from tests.training.small import small_batch, small_module

SMALL = ["experiment=debug_rooms", "model.input.size_px=96", "trainer.progress=false", "callbacks.pictures=0"]
JOINT = ["schedule.static.share=0", "schedule.exits.share=0", "schedule.joint.share=1", "trainer.max_epochs=1"]


@pytest.fixture
def train(rooms, tmp_path):
    """Trains with some settings; gives the last checkpoint and the rows of the record."""

    def run_with(*words):
        config = build(TrainConfig, compose("train", [*SMALL, *rooms, *words]))
        sets = load_roles(config.data, ("train", "val"))
        with open_run("train", config, command="", root=tmp_path) as run:
            logger = make_logger(config.logger, run)
            training = TrainingSets(sets["train"], sets["val"], ImageStore(), 0)
            fit(config, training, find_start("init", "scratch", config.model, tmp_path), run, logger)
            finish_logger(logger, 0)
        rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        return read_state_file(run.folder / "checkpoints" / "last.ckpt"), rows

    return run_with


def test_accumulation_makes_one_step_of_several_batches(train):
    # Five batches of four, two to a step; the last has a step of its own.
    settings = (*JOINT, "trainer.batch_size=4", "trainer.limit_train_batches=5")
    assert train(*settings)[0]["global_step"] == 5
    assert train(*settings, "trainer.accumulate=2")[0]["global_step"] == 3


def test_an_unreadable_checkpoint_gives_way_to_the_one_before(train, tmp_path):
    settings = (*JOINT, "trainer.batch_size=4", "trainer.limit_train_batches=4", "trainer.checkpoint_minutes=0.0001")
    whole, rows = train(*settings)
    (last,) = tmp_path.glob("train/*/checkpoints/last.ckpt")
    previous = last.with_name("previous.ckpt")
    assert 0 < read_state_file(previous)["global_step"] < whole["global_step"]
    last.write_bytes(last.read_bytes()[:1000])
    (manifest,) = tmp_path.glob("train/*/manifest.json")
    # As if the machine had gone down before the end.
    manifest.write_text(manifest.read_text().replace('"state": "finished"', '"state": "running"'))
    broken, again = train(*settings)
    assert again == rows
    for name, value in whole["state_dict"].items():
        assert torch.equal(broken["state_dict"][name], value), name
    lines = json.loads(manifest.read_text())["warnings"]
    (line,) = (line for line in lines if "last.ckpt" in line)
    assert "last.ckpt: not readable as weights" in line
    assert line.endswith("; training goes on from the checkpoint before it")
    for path in (last, previous):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint can be read: mend last.ckpt, or train anew with force=true"):
        train(*settings)


def test_early_stopping_waits_for_the_last_period(train):
    # With this rate nothing gets better: two epochs of static, two of exits, then joint stops after two of its own.
    shares = ("schedule.static.share=0.25", "schedule.exits.share=0.25", "schedule.joint.share=0.5")
    settings = ("trainer.max_epochs=8", "trainer.limit_train_batches=1", "optimizer.lr=1e-12", *shares)
    assert [row["epoch"] for row in train(*settings, "callbacks.early_stopping_epochs=1")[1]] == [0, 1, 2, 3, 4, 5]


def test_bfloat16_computes_in_it_and_learns_finite_weights(train, monkeypatch):
    seen = set()
    forward = CascadeDetector.forward

    def watched(self, *arguments, **named):
        outputs = forward(self, *arguments, **named)
        seen.update(output.class_logits.dtype for output in outputs.values())
        return outputs

    monkeypatch.setattr(CascadeDetector, "forward", watched)
    checkpoint, _ = train(*JOINT, "trainer.precision=bf16-mixed")
    assert seen == {torch.bfloat16}
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_gradients_in_bfloat16_read_no_memory_that_nobody_wrote():
    config = small_module().config
    module = small_module(trainer=replace(config.trainer, precision="bf16-mixed", accelerator="cpu"))
    images = small_batch().images.contiguous(memory_format=module.memory_format)
    for _ in range(20):
        # What was just freed is given out again: whoever reads it unwritten reads these.
        for count in (64, 256, 1000, 4000, 16000, 64000, 256000):
            torch.full((count,), torch.nan)
        module.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = module.detector(images)
        torch.stack([output.class_logits.float().sum() for output in outputs.values()]).sum().backward()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


def test_training_that_diverges_ends_with_one_line(train, monkeypatch):
    monkeypatch.setattr(CascadeDetector, "forward", _no_numbers(CascadeDetector.forward))
    with pytest.raises(UserError, match=r"exit1 answers with values that are no numbers in epoch 0: .* lower"):
        train(*JOINT, "trainer.limit_train_batches=1")


def _no_numbers(forward):
    def broken(self, *arguments, **named):
        outputs = forward(self, *arguments, **named)
        if self.training:
            return outputs
        return {name: output._replace(class_logits=output.class_logits * torch.nan) for name, output in outputs.items()}

    return broken


@pytest.mark.slow
def test_compiled_training_learns_the_same(train, tmp_path, monkeypatch):
    # Captured and differentiated by torch.compile, but run without a C++ compiler.
    graphs = []
    real = torch.nn.Module.compile

    def by_eager(self):
        def backend(graph, inputs):
            graphs.append(graph)
            return torch._dynamo.backends.debugging.aot_eager(graph, inputs)

        return real(self, backend=backend)

    monkeypatch.setattr(torch.nn.Module, "compile", by_eager)
    settings = (*JOINT, "trainer.batch_size=4", "trainer.limit_train_batches=2")
    plain, (expected,) = train(*settings)
    assert not graphs
    shutil.rmtree(tmp_path / "train")  # compiling does not identify a run
    compiled, (row,) = train(*settings, "trainer.compile=true")
    assert graphs
    assert compiled["state_dict"].keys() == plain["state_dict"].keys()
    # Losses, not weights: Adam makes whole steps of gradients that are nothing but rounding.
    losses = {key: value for key, value in expected.items() if key.startswith("train/")}
    assert len(losses) >= 6
    assert {key: row[key] for key in losses} == pytest.approx(losses, rel=1e-3)


def test_each_term_and_rate_is_logged_by_its_own_name(train, tmp_path):
    train(*JOINT, "trainer.batch_size=2", "trainer.limit_train_batches=2")
    (table,) = tmp_path.glob("train/*/csv/*/metrics.csv")
    names = set(table.read_text().splitlines()[0].split(","))
    exits, parts = ("exit1", "exit2", "full"), ("classification", "localization")
    assert {f"train/{name}/{part}" for name in exits for part in parts} <= names
    assert {"train/loss", "train/distill", "lr-AdamW/trunk_weights", "lr-AdamW/rest_weights"} <= names
    assert {f"val/{name}/{part}_confidence" for name in exits for part in ("mean", "std")} <= names
