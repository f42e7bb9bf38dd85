"""`benchmark`, `export` of graphs and what other verbs do with them, on random cascades that need no training."""

import json
import shutil
from pathlib import Path

import pytest

import cascade_exit
from cascade_exit.policies import Policy, write_policy
from cascade_exit.runs import Manifest
from cascade_exit.runtime.exported import read_exported
from cascade_exit.trace import Trace, read_trace
from tests.apps.blotches import Blotches, make, some_stop

QUICK = ["images=4", "repeats=2", "bootstrap=30"]


@pytest.fixture(scope="module")
def blotches(tmp_path_factory) -> Blotches:
    """With a shipped policy, and a twin without one."""
    return make(tmp_path_factory.mktemp("blotches"))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trace(cli, blotches, root) -> Trace:
    made = cli("trace", *blotches.words, "split=test", f"runs_root={root}")
    assert made.code == 0, made.err
    return read_trace(made.run / "trace.safetensors")


@pytest.fixture(scope="module")
def shipped(blotches, trace) -> Policy:
    policy = blotches.policy(some_stop(trace), name="mixed")
    write_policy(blotches.model / "policy.json", policy)
    return policy


@pytest.fixture(scope="module")
def twin(blotches, shipped) -> Path:
    folder = blotches.model.parent / "twin"
    shutil.copytree(blotches.model, folder)
    return folder


def measured(cli, *words: str) -> tuple[Path, dict]:
    answer = cli(*words)
    assert answer.code == 0, answer.err
    return answer.run, json.loads((answer.run / "metrics.json").read_text())


def test_a_benchmark_says_everything(cli, blotches, root, shipped, twin):
    words = [
        "benchmark",
        *blotches.words,
        f"baseline={twin}",
        *QUICK,
        "all_threads=false",
        "batch_sizes=[3]",
        f"runs_root={root}",
    ]
    folder, metrics = measured(cli, *words)
    assert metrics["baseline"]["run"] == "models/twin"
    assert metrics["baseline"]["AP"] == metrics["statics"]["models/twin"]["AP"]
    assert metrics["baseline"]["AP"] == pytest.approx(metrics["exits"]["full"]["AP"], abs=1e-9)
    first, *_, batch = metrics["latency"]
    assert (first["backend"], first["threads"], first["batch_size"]) == ("torch", 1, 1)
    assert (batch["threads"], batch["batch_size"], batch["images"]) == (1, 3, 3)
    for case in metrics["latency"]:
        assert list(case["contenders"]) == ["policy", "nothing exits", "full", "models/twin"]
        assert case["runner"]["images"] == case["images"]
        for figures in case["contenders"].values():
            parts = [figures[key] for key in ("resize_ms", "network_ms", "postprocessing_ms")]
            assert all(part > 0 for part in parts)
            assert figures["mean_ms"] == pytest.approx(sum(parts))
            assert figures["end_to_end_ms"] == pytest.approx(figures["mean_ms"] + case["decode_ms"])
            low, high = figures["speedup_interval"]
            assert low <= figures["speedup"] <= high
        assert case["contenders"]["models/twin"]["speedup"] == 1
    policy = metrics["policy"]
    ratio = metrics["baseline"]["mean_latency_ms"] / policy["mean_latency_ms"]
    assert policy["speedup_latency"] == pytest.approx(ratio)
    assert policy["worst_case_speedup"] == first["contenders"]["nothing exits"]["speedup"]
    assert metrics["intervals"]["policy.speedup_latency"] == first["contenders"]["policy"]["speedup_interval"]
    assert {"policy.AP", "policy.relative_ap_drop", "policy.speedup_macs"} < metrics["intervals"].keys()
    assert metrics["provenance"]["machine"]["cores"] >= 1
    assert (metrics["provenance"]["backend"], metrics["provenance"]["threads"]) == ("torch", 1)
    assert (folder / "figures" / "ap_latency.png").stat().st_size > 10_000
    assert Manifest.read(folder).parents[:2] == ["models/blotches", "models/twin"]


def test_what_cannot_be_benchmarked_is_refused(cli, blotches, root, shipped):
    place = f"runs_root={root}"
    for words, line in (
        (["policy=none"], "policy must not be none"),
        (["backends=[torch]", "backend=torch"], "backend must not be given with backends"),
        (["batch_sizes=[64]"], "batch_sizes must not exceed the images of the test role (32)"),
    ):
        answer = cli("benchmark", *blotches.words, *words, place)
        assert answer.code in (1, 2)
        assert line in answer.err
    refused = cli("export", f"run={blotches.model}", "format=onnx", "precision=bf16", place)
    assert refused.code == 1
    assert "precision=bf16 cannot be had with format=onnx" in refused.err


@pytest.mark.slow
def test_graphs_are_a_model_like_any_other(cli, blotches, root, shipped, tmp_path):
    models, place = tmp_path / "models", f"runs_root={root}"
    words = ["export", f"run={blotches.model}", "format=onnx", "name=graphs", f"models_root={models}", place]
    made = cli(*words)
    assert made.code == 0, made.err
    kept = models / "graphs"
    assert {path.name for path in kept.iterdir()} == {*read_exported(kept).files, "model.json", "policy.json"}
    assert cascade_exit.load(kept, policy="shipped").policy.name == "mixed"

    photo = sorted((blotches.root / "images").iterdir())[0]
    for folder in (kept, made.run):
        drawn = cli("predict", f"run={folder}", f"source={photo}", "score_threshold=0.1", place)
        assert drawn.code == 0, drawn.err
    data = blotches.words[1:]
    common = ["policy=shipped", "bootstrap=0", "pictures=0", "latency_images=8", "threads=1", place]
    _, of_torch = measured(cli, "evaluate", *blotches.words, *common)
    _, of_graphs = measured(cli, "evaluate", f"run={kept}", *data, *common)
    _, of_both = measured(cli, "evaluate", *blotches.words, *common, "backend=openvino")
    for metrics, backend in ((of_torch, "torch"), (of_graphs, "onnxruntime"), (of_both, "openvino")):
        assert metrics["provenance"]["backend"] == backend
        assert metrics["policy"]["AP"] == pytest.approx(of_torch["policy"]["AP"], abs=1e-4)
        assert metrics["policy"]["runner"]["exits_equal"] == 8
    assert of_graphs["exits"]["exit1"]["macs"] == of_torch["exits"]["exit1"]["macs"]

    backends = "backends=[onnxruntime,torch,openvino]"
    words = [*blotches.words, backends, *QUICK, "all_threads=false", "batch_sizes=[]", place]
    _, metrics = measured(cli, "benchmark", *words)
    assert [case["backend"] for case in metrics["latency"]] == ["onnxruntime", "torch", "openvino"]
    # ONNX with the policy and without, OpenVINO without, however often it was asked for.
    assert len(list(root.glob("export/*/manifest.json"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "precision", "near"), [("onnx", "int8", 0.3), ("openvino", "fp16", 0.02), ("openvino", "bf16", 0.1)]
)
def test_other_precisions_are_models_of_their_own(cli, blotches, root, format, precision, near):
    # The test set is the only one that there is: its images serve as the calibrate role.
    data = ["data=coco", f"data.root={blotches.root}", "data.train.annotations=annotations/test.json"]
    words = ["export", f"run={blotches.model}", f"format={format}", f"precision={precision}", f"runs_root={root}"]
    made = cli(*words, *(data if precision == "int8" else []), "policy=none")
    assert made.code == 0, made.err
    if precision == "bf16" and "bf16" not in cpu_can():
        pytest.skip("this CPU does not compute in bfloat16")
    small = ["bootstrap=0", "pictures=0", f"runs_root={root}"]
    _, own = measured(cli, "evaluate", *blotches.words, *small)
    _, metrics = measured(cli, "evaluate", f"run={made.run}", *blotches.words[1:], *small)
    assert metrics["exits"]["full"]["AP50"] == pytest.approx(own["exits"]["full"]["AP50"], abs=near)
    assert metrics["exits"]["full"]["AP50"] > 0.02
    assert metrics["exits"]["full"]["AP"] != own["exits"]["full"]["AP"]


def cpu_can() -> str:
    import openvino

    return str(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")).lower()
