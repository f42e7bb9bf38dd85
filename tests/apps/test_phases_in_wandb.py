"""Trace, tune and evaluate as W&B runs, on a random cascade that needs no training; read back from the files."""

import json
from pathlib import Path

import pytest

from cascade_exit.policies import write_policy
from cascade_exit.runs import Manifest
from tests.apps.blotches import ALWAYS
from tests.tracking.wandb_files import Written, tries

OFFLINE = ["logger=wandb", "logger.mode=offline", "logger.project=p", "logger.tags=[a]", "batch_size=1"]
EXITS = ("exit1", "exit2", "full")


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """Takes back what a W&B run sets for the rest of the process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            patch.setenv(name, "elsewhere")
        patch.setenv("WANDB_SILENT", "true")
        yield


@pytest.fixture(scope="module")
def evaluated(cli, blotches, root, tmp_path_factory) -> Path:
    """An evaluate run with the policy in a file; it makes the trace on the way."""
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    write_policy(policy, blotches.policy(ALWAYS))
    words = [f"policy={policy}", "bootstrap=10", "latency_images=0", "pictures=3", f"runs_root={root}"]
    answer = cli("evaluate", *blotches.words, *words, *OFFLINE)
    assert answer.code == 0, answer.err
    return answer.run


def written(folder: Path) -> Written:
    (one,) = tries(folder)
    return one


def used(one: Written) -> set[str]:
    return {name for name, artifact in one.artifacts.items() if artifact.get("use_after_commit")}


def made(one: Written) -> set[str]:
    return set(one.artifacts) - used(one)


def test_each_phase_is_a_run_with_its_inputs(evaluated, root):
    (traced,) = [path.parent for path in root.glob("trace/*/manifest.json")]
    trace, evaluate = written(traced), written(evaluated)
    for verb, one in (("trace", trace), ("evaluate", evaluate)):
        assert (one.run["job_type"], one.run["project"], one.run["tags"]) == (verb, "p", ["a"])
        assert one.run["run_group"] == "models/blotches", "of a kept model nothing is known but its name"
    name = f"trace-{trace.run['run_id']}"
    assert (used(trace), made(trace)) == ({"checkpoint-blotches"}, {name})
    assert (used(evaluate), made(evaluate)) == (
        {"checkpoint-blotches", name},
        {f"metrics-{evaluate.run['run_id']}"},
    )
    assert trace.artifacts[name]["digest"] == evaluate.artifacts[name]["digest"]


def test_a_report_is_kept_with_the_runs_that_it_shows(cli, evaluated, root):
    answer = cli("report", f"runs=[{evaluated}]", f"runs_root={root}")
    assert answer.code == 0, answer.err
    one = written(answer.run)
    assert (one.run["job_type"], one.run["project"]) == ("report", "p"), "as the run that it shows"
    assert used(one) == made(written(evaluated))
    assert made(one) == {f"report-{one.run['run_id']}"}


def test_figures_are_those_of_metrics_json(evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    (row, *_) = written(evaluated).history
    for path in ("exits/exit1/AP", "exits/full/per_class/chair", "policy/speedup_macs", "policy/exit_rates/exit2"):
        value = metrics
        for part in path.split("/"):
            value = value[part]
        assert row[path] == pytest.approx(value)
    assert row["intervals/policy.AP/low"] == pytest.approx(metrics["intervals"]["policy.AP"][0])


def test_classes_and_predictions(evaluated):
    one, metrics = written(evaluated), json.loads((evaluated / "metrics.json").read_text())
    table = one.table("per_class")
    of_policy = ["AP policy", "relative drop from full", "leave early"]
    assert table["columns"] == ["class", "boxes", *(f"AP {name}" for name in EXITS), *of_policy]
    for name, boxes, *values, ap, drop, early in table["data"]:
        assert values == pytest.approx([metrics["exits"][each]["per_class"].get(name) for each in EXITS])
        found = metrics["classes"][name]
        assert (ap, drop, early) == (found["policy"]["AP"], found["drop"]["full"], found["early"])
        assert boxes > 0
    assert sum(row[1] for row in table["data"]) == metrics["boxes"]
    table = one.table("predictions")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(rows) == 3
    for row in rows:
        assert row["image"]["boxes"].keys() == {"ground truth", *EXITS}
        assert len(row["image"]["boxes"]["ground truth"]) == row["objects"] > 0
        assert row["image"]["boxes"]["full"]
        assert row["leaves at"] in EXITS
        assert row["recall full"] is None or 0 <= row["recall full"] <= 1


def test_a_phase_that_fails_ends_as_failed(cli, blotches, root, monkeypatch):
    def broken(*_arguments: object, **_options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("cascade_exit.apps.trace.write_trace", broken)
    assert cli("trace", *blotches.words, "split=test", "score_threshold=0.4", f"runs_root={root}", *OFFLINE).code == 1
    (folder,) = [
        path.parent for path in root.glob("trace/*/manifest.json") if Manifest.read(path.parent).state == "failed"
    ]
    assert (written(folder).summary["state"], written(folder).summary["exit_code"]) == ("failed", 1)
    assert used(written(folder)) == set(written(folder).artifacts) == {"checkpoint-blotches"}


@pytest.mark.slow
def test_operating_points_their_curve_and_who_uses_the_policy(cli, blotches, root):
    words = [f"run={blotches.model}", "data=coco", f"data.root={blotches.root}"]
    words += ["data.calibrate.annotations=annotations/test.json", "family=certainty", "quantiles=2", "pictures=0"]
    answer = cli("tune", *words, *OFFLINE, "max_relative_ap_drop=0.9", f"runs_root={root}")
    assert answer.code == 0, answer.err
    one, record = written(answer.run), json.loads((answer.run / "tuning.json").read_text())
    table = one.table("operating_points")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    (chosen,) = [row for row in rows if row["picked"] == "chosen"]
    point = record["families"]["certainty"]["point"]
    assert (chosen["policy"], chosen["AP"]) == ("certainty", pytest.approx(point["ap"]))
    assert [chosen[f"leave at {name}"] for name in EXITS] == pytest.approx(
        [point["exit_rates"][name] for name in EXITS]
    )
    assert [row["policy"] for row in rows[:3]] == [f"{name} alone" for name in EXITS]
    lines = {row[1] for row in one.table("trade_off_table")["data"]}
    assert lines == {"certainty", "random", "greedy oracle", "exits alone"}

    policy = f"policy-{one.run['run_id']}"
    assert made(one) == {policy}
    assert {name.split("-")[0] for name in used(one)} == {"checkpoint", "trace"}
    words = [f"policy={answer.run}", "bootstrap=0", "latency_images=0", "pictures=0", f"runs_root={root}"]
    answer = cli("evaluate", *blotches.words, *words, *OFFLINE)
    assert answer.code == 0, answer.err
    reader = written(answer.run)
    assert policy in used(reader)
    assert reader.artifacts[policy]["digest"] == one.artifacts[policy]["digest"]
