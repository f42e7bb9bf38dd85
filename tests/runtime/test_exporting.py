"""Exported graphs held against the network that they were made from, on both engines."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import cascade_exit
from cascade_exit.model import FULL
from cascade_exit.model.anchors import LEVELS
from cascade_exit.policies import write_policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError
from cascade_exit.runtime import Detector, Runner, TimingConfig, measure_stage_costs
from cascade_exit.runtime.engines import open_engine
from cascade_exit.runtime.exported import read_exported
from cascade_exit.runtime.exporting import check_exportable
from cascade_exit.runtime.loading import open_detector
from cascade_exit.runtime.network import Backend
from cascade_exit.runtime.promise import check_promise
from tests.conftest import REPOSITORY
from tests.runtime.cascades import IMAGES, checkpoint, pictures, policy, trace
from tests.runtime.graphs import BACKENDS, exported

PARITY = 1e-4
# Exits that take over features, logits and answers: tensors of every kind go from graph to graph.
NAME = "short"
SLOW = pytest.mark.slow
PAIRS = [pytest.param((NAME, one), id=one) for one in BACKENDS]
# Into "looks" images of two sizes enter, at the stages that take them.
PAIRS += [
    pytest.param((name, one), id=f"{name} {one}", marks=SLOW)
    for name in ("chained", "looks", "handed on", "averaged")
    for one in BACKENDS
]


@pytest.fixture(scope="module", params=PAIRS)
def exported_as(request) -> tuple[str, Backend]:
    """Which cascade, and what runs it."""
    return request.param


@pytest.fixture(scope="module")
def graphs(exported_as) -> Detector:
    name, backend = exported_as
    return open_detector(exported(name), backend=backend, threads=1)


@pytest.fixture(scope="module")
def torch_detector(exported_as) -> Detector:
    return Detector(checkpoint(exported_as[0]))


@pytest.mark.parametrize("batch", [1, 3])
def test_every_stage_gives_what_torch_gives(graphs, torch_detector, batch):
    network, images = torch_detector.network, pictures()[:batch]
    with torch.inference_mode():
        own, state = network.start(images), graphs.network.start(images)
        for name in network.exit_names:
            own, state = network.advance(name, own), graphs.network.advance(name, state)
            for key in own.keys() & state.keys():
                if name != FULL:  # its graph goes on from the stage before
                    assert_near(state[key], own[key])
            (expected, own), (found, state) = network.answer(name, own), graphs.network.answer(name, state)
            for one, other in zip(found, expected, strict=True):
                assert_near(one, other)
            if name != FULL:
                assert state.keys() <= own.keys()  # nothing is dragged along
    assert not state


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    # Logits of these loud cascades reach 10: there, float32 itself is only so exact.
    torch.testing.assert_close(found, expected, rtol=0, atol=PARITY * max(1.0, float(expected.abs().max())))


def test_graphs_hold_no_bookkeeping():
    # How interleaved maps lie in memory would be worked out anew at every call, by Shape, Range and Gather.
    for file in exported(NAME).glob("*.onnx"):
        kinds = Counter(node.op_type for node in onnx.load(file).graph.node)
        assert not kinds.keys() & {"Shape", "Range", "Gather", "Unsqueeze", "Squeeze"}, (file.name, kinds)
        # Every level of an answer is brought into the order of anchors by one of each.
        assert kinds["Reshape"] == kinds["Transpose"] == (0 if "advance" in file.name else 2 * LEVELS)


def test_exits_that_must_answer_follow_from_the_graphs(graphs, torch_detector):
    for name in graphs.exit_names:
        assert graphs.network.answering({name}) == torch_detector.network.answering({name})
        assert graphs.network.running({name}) == torch_detector.network.running({name})
    assert graphs.network.answering(()) == graphs.network.running(()) == ()


@pytest.mark.parametrize("batch", [1, 8])
def test_decisions_are_those_of_the_trace(exported_as, graphs, batch):
    promised = trace(exported_as[0], precise=False)
    rules = {}
    for name, share in zip(graphs.exit_names[:-1], (0.4, 0.6), strict=False):
        values = np.sort(STATISTICS["mid_scores"](promised.exits[name].digest, None).double().numpy())
        place = round((1 - share) * IMAGES)
        rules[name] = ThresholdRule("mid_scores", float(values[place - 1 : place + 1].mean()))
    a_policy = policy(rules)
    runner = Runner(graphs, a_policy)
    stopped = [one for images in pictures().split(batch) for one in runner.detect_batch(images)]
    assert {one.exit_name for one in stopped} == set(graphs.exit_names)
    if exported_as[0] != NAME:  # so deep and loud that scores move by 2e-5, more than a promise of boxes allows
        assert [one.exit_index for one in stopped] == a_policy.choose(promised).tolist()
        return
    kept = check_promise(a_policy, promised, np.arange(IMAGES), stopped)
    assert kept.exits_equal + kept.near_threshold == IMAGES
    assert kept.near_threshold <= 1


def test_a_fingerprint_is_of_graphs_and_of_what_becomes_of_their_answers():
    one = read_exported(exported(NAME))
    averaged = replace(one.model, full=replace(one.model.full, refinement="averaged"))
    others = (replace(one, model=averaged), replace(one, decoding=replace(one.decoding, nms_iou=0.4)))
    found = {each.fingerprint for each in (one, replace(one, name="another"), *others)}
    assert len(found) == 3


def test_the_folder_says_all_that_is_needed():
    description, graphs = read_exported(exported(NAME)), open_detector(exported(NAME))
    inputs = {(graph.exit, graph.part): graph.inputs for graph in description.graphs}
    assert inputs["exit1", "advance"] == ("images",)
    assert "images" not in {key for graph in description.graphs[1:] for key in graph.inputs}
    assert set(inputs[FULL, "answer"]) == {"trunk", "context", "class_logits", "box_deltas"}
    assert graphs.backend == "onnxruntime"
    assert graphs.costs == Detector(checkpoint(NAME)).costs
    assert graphs.class_map == checkpoint(NAME).class_map


def test_stage_costs_name_their_backend(graphs, torch_detector):
    found = measure_stage_costs(graphs, pictures(), TimingConfig(repeats=2, warmup=1, threads=1))
    assert found.backend == graphs.backend
    averaged = torch_detector.checkpoint.model.averaged_with
    builds = [len(torch_detector.network.answering({name})) > 1 or name in averaged for name in graphs.exit_names]
    assert [timing.builds_on_previous for timing in found.exits.values()] == builds
    assert all(timing.leaving.mean_ms > 0 for timing in found.exits.values())


UNWANTED = ("lightning", "hydra", "omegaconf", "wandb", "cascade_exit.training", "cascade_exit.losses", "onnx")


def test_what_the_documentation_shows_runs_without_training_code(tmp_path):
    text = (REPOSITORY / "docs" / "deploy.md").read_text()
    code = re.search(r"<!-- deploy:begin -->\n```python\n(.*?)```", text, re.DOTALL)[1]
    folder = tmp_path / "models" / "chair_onnx"
    shutil.copytree(exported(NAME), folder)
    write_policy(folder / "policy.json", policy({"exit1": ThresholdRule("max_score", -1.0)}))
    Image.fromarray(pictures()[0].permute(1, 2, 0).numpy()).save(tmp_path / "photo.jpg")
    code += f"\nimport sys\nprint([name for name in {UNWANTED} if name in sys.modules])"
    words = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    answer = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert answer.stdout.startswith("exit1 "), answer.stderr
    assert answer.stdout.strip().endswith("[]")


def test_damage_is_said(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(exported(NAME), folder)
    graph = folder / "exit1.answer.onnx"
    graph.write_bytes(graph.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"exit1\.answer\.onnx: not the graph that model\.json describes"):
        cascade_exit.load(folder)
    with pytest.raises(UserError, match=r"exit1\.answer\.onnx: not readable by onnxruntime"):
        open_engine(graph, "onnxruntime", "fp32", 1)
    graph.unlink()
    with pytest.raises(UserError, match=r"exit1\.answer\.onnx: no such file"):
        cascade_exit.load(folder)
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {"format": "abacus"}))
    with pytest.raises(UserError, match=r"not readable as an exported model \(format"):
        cascade_exit.load(folder)


def test_what_cannot_run_is_refused():
    with pytest.raises(UserError, match="precision=bf16 cannot be had with format=onnx"):
        check_exportable("onnx", "bf16")
    with pytest.raises(UserError, match="backend=torch cannot run"):
        cascade_exit.load(exported(NAME), backend="torch")
    with pytest.raises(UserError, match="device=cuda: exported models run on the CPU"):
        cascade_exit.load(exported(NAME), device="cuda")
