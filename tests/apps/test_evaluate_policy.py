"""`evaluate` with a policy, on a random cascade that needs no training."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import cascade_exit
from cascade_exit.data import load_role
from cascade_exit.model import CascadeDetector, FullConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.scoring import Scorer
from cascade_exit.runs import Manifest
from cascade_exit.runtime.detector import model_fingerprint, read_model
from cascade_exit.runtime.kept_model import write_kept_model
from cascade_exit.trace import Trace, read_trace
from tests.apps.blotches import ALWAYS, NEVER, Blotches, some_stop
from tests.conftest import REPOSITORY, Answer

QUICK = ["batch_size=1", "bootstrap=30", "pictures=0", "threads=1", "latency_images=0"]
EXITS = ("exit1", "exit2", "full")


@pytest.fixture(scope="module")
def trace(cli, blotches, root) -> Trace:
    made = cli("trace", *blotches.words, "split=test", "batch_size=1", f"runs_root={root}")
    assert made.code == 0, made.err
    return read_trace(made.run / "trace.safetensors")


@pytest.fixture(scope="module")
def evaluate(cli, blotches, root, trace, tmp_path_factory) -> Callable[..., tuple[Answer, dict[str, Any]]]:
    """Evaluates with a policy; gives the answer and metrics.json."""

    def call(policy: Policy, *words: str) -> tuple[Answer, dict[str, Any]]:
        file = tmp_path_factory.mktemp("policy") / "policy.json"
        write_policy(file, policy)
        answer = cli("evaluate", *blotches.words, f"policy={file}", *QUICK, f"runs_root={root}", *words)
        assert answer.code == 0, answer.err
        return answer, json.loads((answer.run / "metrics.json").read_text())

    return call


@pytest.fixture(scope="module")
def mixed(blotches, trace, evaluate) -> tuple[Answer, dict[str, Any]]:
    return evaluate(blotches.policy(some_stop(trace), name="mixed"), "latency_images=8")


def test_who_never_stops_is_the_full_exit(blotches, trace, evaluate):
    tuned_on = {"role": "test", "data": trace.header.data, "images": len(trace)}
    answer, metrics = evaluate(blotches.policy(NEVER, tuned_on=tuned_on))
    policy = metrics["policy"]
    assert policy["AP"] == metrics["baseline"]["AP"] > 0.2
    assert (policy["relative_ap_drop"], policy["speedup_macs"], policy["macs_reduction"]) == (0, 1, 0)
    assert policy["exit_rates"] == {"exit1": 0, "exit2": 0, "full": 1}
    assert metrics["baseline"]["run"] == "full"
    assert metrics["baseline"]["macs"] == metrics["exits"]["full"]["macs"]
    assert metrics["intervals"]["policy.relative_ap_drop"] == [0, 0]
    assert "tuned on these very images" in answer.err


def test_who_always_stops_is_exit1(blotches, evaluate):
    _, metrics = evaluate(blotches.policy(ALWAYS))
    policy, exits = metrics["policy"], metrics["exits"]
    assert policy["AP"] == pytest.approx(exits["exit1"]["AP"], abs=1e-9)
    assert policy["AP50"] == pytest.approx(exits["exit1"]["AP50"], abs=1e-9)
    assert policy["AP"] < exits["full"]["AP"]
    assert policy["speedup_macs"] == pytest.approx(exits["full"]["macs"] / exits["exit1"]["macs"])
    assert policy["exit_rates"]["exit1"] == 1


def of_pycocotools(blotches: Blotches, policy: Policy) -> np.ndarray:
    """Its figures for what the runner itself finds on the photos, one by one."""
    runner = cascade_exit.load(blotches.model, policy=policy)
    images = load_role(blotches.data, "test")
    rows = []
    for record in images.records:
        boxes, scores, labels = (part.double().numpy() for part in runner(record.path))
        boxes[:, 2:] -= boxes[:, :2]
        for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True):
            rows.append({"image_id": record.image_id, "category_id": int(label), "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # The boxes of the annotation file, as a set keeps them: in 32 bit.
        truth.dataset = {
            "images": [{"id": record.image_id} for record in images.records],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": [
                {
                    "image_id": r.image_id,
                    "category_id": int(label),
                    "area": float(area),
                    "iscrowd": 0,
                    "bbox": xywh(box),
                }
                for r in images.records
                for label, area, box in zip(r.labels, r.areas, r.boxes.astype(np.float64), strict=True)
            ],
        }
        for number, annotation in enumerate(truth.dataset["annotations"], start=1):
            annotation["id"] = number
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def xywh(box: np.ndarray) -> list[float]:
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]


def test_ap_is_bit_equal_to_pycocotools_on_what_the_runner_finds(blotches, trace, mixed):
    _, metrics = mixed
    stats = of_pycocotools(blotches, blotches.policy(some_stop(trace)))
    assert (metrics["policy"]["AP"], metrics["policy"]["AP50"]) == (stats[0], stats[1])
    rates = metrics["policy"]["exit_rates"]
    assert all(rates[name] > 0.2 for name in EXITS)


def test_calibrated_scores_are_what_is_measured(blotches, trace, evaluate):
    calibration = {"exit1": ExitCalibration(1.0, ((0.0, 0.0), (1.0, 0.1))), "exit2": ExitCalibration(3.0)}
    rules = {name: rule for name, rule in some_stop(trace).items() if name == "exit1"}
    policy = blotches.policy(rules, calibration=calibration)
    _, metrics = evaluate(policy)
    assert metrics["policy"]["AP"] == of_pycocotools(blotches, policy)[0]
    assert metrics["policy"]["AP"] != Scorer(trace, trace.header.macs).ap(policy.choose(trace))


def test_of_a_static_model_a_policy_is_its_calibration(blotches, evaluate, tmp_path):
    cascade, alone = read_model(blotches.model), tmp_path / "models" / "alone"
    model = replace(cascade.model, exits={}, full=FullConfig())
    names = CascadeDetector(model, len(cascade.class_map)).state_dict().keys()
    state = {name: cascade.state[name] for name in names}
    write_kept_model(alone, Checkpoint(model, cascade.class_map, cascade.decoding, state), {})
    calibration = {"full": ExitCalibration(1.0, ((0.0, 0.0), (1.0, 0.5)))}
    policy = Policy(model_fingerprint(alone), cascade.class_map.names, {}, calibration)
    answer, metrics = evaluate(policy, f"run={alone}", f"runs_root={tmp_path / 'runs'}")
    assert metrics["policy"]["exit_rates"] == {"full": 1}
    # A monotone map of scores changes no order.
    assert metrics["policy"]["AP"] == pytest.approx(metrics["exits"]["full"]["AP"])
    assert not (answer.run / "figures" / "classes.png").exists()


def test_figures_lie_within_their_intervals(mixed):
    _, metrics = mixed
    intervals = metrics["intervals"]
    for key in ("AP", "AP50", "relative_ap_drop", "speedup_macs", "speedup_latency"):
        low, high = intervals[f"policy.{key}"]
        assert low <= metrics["policy"][key] <= high
    assert {f"exits.{name}.{key}" for name in EXITS for key in ("AP", "AP50")} < intervals.keys()
    assert intervals["bounds.gap"][0] <= metrics["bounds"]["oracle_AP"] - metrics["bounds"]["random_AP"]


def test_the_runner_is_timed_and_keeps_the_promise(mixed):
    _, metrics = mixed
    policy = metrics["policy"]
    runner = policy["runner"]
    assert (runner["images"], runner["exits_equal"], runner["near_threshold"], runner["cut_off"]) == (8, 8, 0, 0)
    assert runner["max_box_difference_px"] < 0.01
    assert 0 < policy["latency_ms"]["p50"] <= policy["latency_ms"]["p90"] <= policy["latency_ms"]["p99"]
    ratio = metrics["baseline"]["mean_latency_ms"] / policy["mean_latency_ms"]
    assert policy["speedup_latency"] == pytest.approx(ratio)


def test_kinds_add_up(mixed):
    answer, metrics = mixed
    for kinds in metrics["by"].values():
        shares = [figures["images"] * figures["exit_rates"]["exit2"] for figures in kinds.values()]
        if sum(figures["images"] for figures in kinds.values()) == metrics["images"]:
            assert sum(shares) == pytest.approx(metrics["images"] * metrics["policy"]["exit_rates"]["exit2"])
    assert metrics["by"].keys() == {"difficulty", "objects", "size", "crowding"}
    assert metrics["by"]["objects"].keys() == {"0", "1", "2-4"}
    assert "AP" not in metrics["by"]["objects"]["0"]["policy"]
    for words in ("Policy mixed against full", "AP50 by kind of image", "leave at exit1", "promise on 8 images"):
        assert words in answer.err


def test_a_policy_is_part_of_the_identity_and_names_its_trace(blotches, root, trace, evaluate, mixed):
    answer, _ = mixed
    again, _ = evaluate(blotches.policy(some_stop(trace), name="mixed"), "latency_images=8")
    other, _ = evaluate(blotches.policy(some_stop(trace), name="another"), "latency_images=8")
    assert again.run == answer.run != other.run
    (traced,) = (path.parent for path in root.glob("trace/*/manifest.json"))
    manifest = Manifest.read(answer.run)
    assert manifest.parents == ["models/blotches", traced.name[-8:]]
    assert re.fullmatch("[0-9a-f]{16}", manifest.data["policy"])


def test_a_baseline_is_measured_on_the_same_images(blotches, trace, evaluate, mixed, tmp_path):
    twin = tmp_path / "models" / "twin"
    shutil.copytree(blotches.model, twin)
    _, own = mixed
    _, metrics = evaluate(blotches.policy(some_stop(trace)), f"baseline={twin}")
    of_full = {key: own["baseline"][key] for key in ("AP", "AP50", "macs")}
    assert metrics["baseline"] == of_full | {"run": "models/twin"}
    assert metrics["policy"]["relative_ap_drop"] == own["policy"]["relative_ap_drop"]
    for name, found in metrics["classes"].items():
        assert found["baseline"]["AP"] == pytest.approx(metrics["exits"]["full"]["per_class"][name], abs=1e-9)
        assert found["drop"]["baseline"] == found["drop"]["full"]


def test_classes_agree_with_the_exits_and_are_shown(mixed):
    answer, metrics = mixed
    for exit_name, figures in metrics["exits"].items():
        for name, ap in figures["per_class"].items():
            assert metrics["classes"][name]["exits"][exit_name]["AP"] == pytest.approx(ap, abs=1e-9)
    assert sum(found["boxes"] for found in metrics["classes"].values()) == metrics["boxes"]
    assert (answer.run / "figures" / "classes.png").is_file()
    assert "Class by class" in answer.err


def test_a_policy_of_another_model_is_applied_unchanged_where_that_is_asked_for(blotches, trace, cli, evaluate):
    rules = some_stop(trace)
    other = Policy(model="f" * 16, classes=("cat",), rules=rules, name="of another", exit_rates={"exit1": 1.0})
    answer, metrics = evaluate(other, "transfer=true")
    assert metrics["policy"]["name"] == "of another, transferred"
    assert metrics["policy"]["tuned_for"] == f"model {'f' * 16} with the classes cat"
    assert "tuned for another model and is applied unchanged" in answer.err
    choice = blotches.policy(rules).choose(trace)
    assert metrics["policy"]["AP"] == Scorer(trace, trace.header.macs).ap(choice)
    refused = cli("evaluate", *blotches.words, "transfer=true", *QUICK)
    assert (refused.code, refused.errors) == (2, ["policy must be given with transfer"])


def test_shipped_is_beside_the_kept_model(blotches, trace, cli, root, tmp_path):
    model = tmp_path / "models" / "kept"
    shutil.copytree(blotches.model, model)
    words = [f"run={model}", *blotches.words[1:], "policy=shipped", *QUICK, f"runs_root={root}"]
    missing = cli("evaluate", *words)
    assert (missing.code, missing.errors) == (
        1,
        [f"policy=shipped: {model} has no policy.json; tune one, or give policy=FILE"],
    )
    write_policy(model / "policy.json", blotches.policy(some_stop(trace), name="beside"))
    found = cli("evaluate", *words)
    assert found.code == 0, found.err
    assert json.loads((found.run / "metrics.json").read_text())["policy"]["name"] == "beside"


def test_policies_of_others_and_damaged_ones_are_refused_in_one_line(blotches, trace, cli, root, tmp_path):
    file = tmp_path / "policy.json"
    words = [*blotches.words, f"policy={file}", *QUICK, f"runs_root={root}"]

    def refusal() -> str:
        answer = cli("evaluate", *words)
        assert answer.code == 1
        (line,) = answer.errors
        return line

    assert "neither none, shipped nor a file" in refusal()
    write_policy(file, Policy(model="f" * 16, classes=("chair", "tv"), rules=NEVER))
    assert f"tuned for model {'f' * 16}" in refusal()
    write_policy(file, Policy(model=blotches.fingerprint, classes=("chair",), rules=NEVER))
    assert "is for the classes chair, the model has chair, tv" in refusal()
    write_policy(file, blotches.policy({"exit3": NEVER["exit1"]}))
    assert "exit3" in refusal()
    file.write_text(file.read_text().replace("2.0", "3.0"))
    assert "other sha256" in refusal()


Keys = tuple[str, ...]
OPTIONAL = ("crossfit", "crossfit_best", "fixed_thresholds", "class_thresholds", "corruptions")


def documented() -> set[Keys]:
    page = (REPOSITORY / "docs" / "evaluation.md").read_text()
    return {tuple(path.split(".")) for path in re.findall(r"^\| `([^`=]+)` \|", page, re.MULTILINE)} - {
        ("none",),
        ("shipped",),
    }


def written(value: Any, path: Keys = ()) -> set[Keys]:
    if not isinstance(value, dict):
        return {path}
    # Keys of intervals are paths themselves.
    parts = {key: tuple(key.split(".")) if path == ("intervals",) else (key,) for key in value}
    return {leaf for key, item in value.items() for leaf in written(item, path + parts[key])}


def means(path: Keys, leaf: Keys) -> bool:
    """Whether a documented path, with names in capitals, stands for a key."""
    if path[-1] == "…":
        return leaf[: len(path) - 1] == path[:-1]
    pairs = list(zip(path, leaf, strict=False))
    return len(path) == len(leaf) and all(
        one == other or (one.isalpha() and one.isupper() and len(one) > 2) for one, other in pairs
    )


def assert_as_documented(metrics: dict[str, Any], pages: set[Keys]) -> None:
    leaves = written(metrics)
    assert {leaf for leaf in leaves if not any(means(path, leaf) for path in pages)} == set()
    missing = {path for path in pages if not any(means(path, leaf) for leaf in leaves)}
    # So few images cannot tell an oracle from chance, nor have two classes with enough boxes; nothing was transferred,
    # and no other model is the baseline.
    by_chance = {("bounds", "efficacy"), ("policy", "tuned_for")}
    by_chance |= {path for path in pages if path[0] == "class_drop" or path[:3] == ("classes", "CLASS", "baseline")}
    by_chance |= {path for path in pages if path[-2:] in (("drop", "baseline"), ("EXIT", "strength"))}
    by_chance |= {("classes", "CLASS", "gain_where_left", "EXIT"), ("classes", "CLASS", "threshold", "EXIT")}
    assert missing <= by_chance


def test_documented_keys_are_those_written(mixed):
    _, metrics = mixed
    assert_as_documented(metrics, {path for path in documented() if path[0] not in OPTIONAL})


def test_unseen_is_measured_as_one_set(cli, blotches, root, mixed):
    """The same file as calibrate and as test: every image twice, with ids that both use, and the AP of one."""
    both = [*blotches.words, "data.calibrate.annotations=annotations/test.json", "role=unseen", *QUICK]
    answer = cli("evaluate", *both, f"runs_root={root}")
    assert answer.code == 0, answer.err
    metrics, of_test = json.loads((answer.run / "metrics.json").read_text()), mixed[1]
    assert metrics["images"] == 2 * of_test["images"]
    for name in EXITS:
        assert metrics["exits"][name]["AP"] == pytest.approx(of_test["exits"][name]["AP"], abs=1e-6)
    refused = cli("evaluate", *both, "policy=shipped", f"runs_root={root}")
    assert refused.code != 0
    assert "role=unseen holds the images that policies are tuned on" in refused.err


@pytest.mark.slow
def test_cross_fitting_on_all_that_was_not_trained_on(cli, blotches, root, trace):
    """Every image twice, as calibrate and as test."""
    words = ["data.calibrate.annotations=annotations/test.json", "role=unseen", "crossfit=true", *QUICK]
    answer = cli("evaluate", *blotches.words, *words, f"runs_root={root}")
    assert answer.code == 0, answer.err
    metrics = json.loads((answer.run / "metrics.json").read_text())
    assert metrics["images"] == 2 * len(trace)
    assert metrics["crossfit"]["max_score"]["0.05"]["speedup_macs"] >= 1


@pytest.mark.slow
def test_corruptions_and_cross_fitting(blotches, trace, evaluate):
    words = ["corruptions=true", "crossfit=true", "latency_images=4"]
    answer, metrics = evaluate(blotches.policy(some_stop(trace)), *words)
    assert_as_documented(metrics, documented())
    assert {kind: list(of_kind) for kind, of_kind in metrics["corruptions"].items()} == dict.fromkeys(
        ("blur", "noise", "jpeg"), ["1", "2", "3"]
    )
    for of_kind in metrics["corruptions"].values():
        for figures in of_kind.values():
            assert sum(figures["exit_rates"].values()) == pytest.approx(1)
    of_full = [metrics["corruptions"]["noise"][severity]["full"]["AP"] for severity in "123"]
    assert metrics["exits"]["full"]["AP"] > of_full[0] > of_full[2]
    assert list(metrics["crossfit"]["max_score"]) == ["0.01", "0.03", "0.05"]
    assert set(metrics["crossfit_best"].values()) <= metrics["crossfit"].keys()
    assert list(metrics["fixed_thresholds"]) == ["exit1>=0.60 exit2>=0.75"]
    assert "AP50 under corruptions" in answer.err
    assert "Cross-fitted policies" in answer.err
