"""A phase in W&B, offline: what its own reader finds in the files."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb

from cascade_exit.evaluation import DetectionArrays
from cascade_exit.runs import Run, UserError
from cascade_exit.tracking import (
    BoxedImage,
    LoggerConfig,
    artifacts,
    best_of,
    log_best,
    log_curves,
    log_figures,
    log_table,
    make_logger,
    tracked,
)
from tests.tracking.stand_ins import a_run
from tests.tracking.wandb_files import Written, tries

FIGURES = {
    "policy": {"AP": 0.25, "name": "router", "exit_rates": {"exit1": 0.5}},
    "intervals": {"policy.AP": [0.2, 0.3]},
    "passed": True,
    "missing": math.nan,
}
FLAT = {
    "policy/AP": 0.25,
    "policy/exit_rates/exit1": 0.5,
    "intervals/policy.AP/low": 0.2,
    "intervals/policy.AP/high": 0.3,
}
ROWS = [["certainty", 0.25, None], ["router", 0.5, 0.75]]
CURVES = {"router": ([1.0, 2.0], [0.25, 0.5]), "random": ([1.0, 3.0], [0.125, 0.5])}


def photo() -> BoxedImage:
    truth = DetectionArrays(np.array([[1, 2, 9, 8]], np.float32), np.ones(1, np.float32), np.array([2]))
    found = DetectionArrays(
        np.array([[0, 0, 3, 3], [1, 2, 8, 8], [5, 5, 6, 6]], np.float32),
        np.array([0.25, 0.75, 0.01], np.float32),
        np.array([1, 2, 1]),
    )
    return BoxedImage(np.full((12, 16, 3), 90, np.uint8), {"ground truth": truth, "exit1": found}, ("chair", "table"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    run = a_run(tmp_path_factory.mktemp("train") / "phase1_chair-0123abcd")
    (run.folder / "checkpoints").mkdir()
    (run.folder / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    return run


@pytest.fixture
def produced(trained) -> Written:
    """The training run that made the checkpoint."""
    with tracked(LoggerConfig(group="phase1_chair"), trained) as logger:
        best_of(logger, {"val/full/AP": "max", "val/full/ece": "min"})
        for step, (ap, ece) in enumerate([(0.25, 0.5), (0.5, 0.25), (0.375, 0.75)]):
            logger.log_metrics({"val/full/AP": ap, "val/full/ece": ece}, step=step)
    return tries(trained.folder)[-1]


@pytest.fixture
def consumed(trained, tmp_path) -> tuple[Path, Written]:
    """A tune run that reads the checkpoint and a kept model with a base."""
    kept = tmp_path / "models" / "static chair"
    for folder, description in ((kept, '{"base": {"name": "base"}}'), (kept.parent / "base", "{}")):
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(description)
        (folder / "model.safetensors").write_bytes(b"16 bit")
    run = a_run(tmp_path / "tune-ffff0000", "ffff0000", "tune")
    with tracked(LoggerConfig(tags=("a",)), run, [trained.folder, kept, kept, tmp_path]) as logger:
        log_figures(logger, FIGURES)
        log_table(logger, "operating_points", ["policy", "AP", "threshold"], ROWS)
        log_table(logger, "predictions", ["image", "objects"], [[photo(), 1]])
        log_curves(logger, "trade_off", CURVES, "AP over mean cost", "million MACs")
        (run.folder / "policy.json").write_text('{"rules": {}}')
    return run.folder, tries(run.folder)[0]


def test_lineage_tables_and_charts_read_back(trained, produced, consumed):
    folder, written = consumed
    # What the summary shows of a training run is its best.
    assert produced.metrics["val/full/AP"] == {
        "name": "val/full/AP",
        "options": {"defined": True, "step_sync": True},
        "step_metric": "trainer/global_step",
        "summary": {"max": True},
    }
    summary = produced.summary["summary"]
    assert (summary["val/full/AP"], summary["val/full/ece"]) == ({"max": 0.5}, {"min": 0.25})
    assert (produced.run["run_group"], produced.run["job_type"]) == ("phase1_chair", "train")
    assert (written.run["job_type"], written.run["tags"]) == ("tune", ["a"])

    # The same name and digest on both sides is what makes W&B see one artifact, logged here and used there.
    made = produced.artifacts["checkpoint-0123abcd"]
    assert not made.get("use_after_commit", False)
    read = written.artifacts["checkpoint-0123abcd"]
    assert (read["type"], read["digest"]) == ("checkpoint", made["digest"])
    assert read["use_after_commit"]
    assert read["user_created"]
    kept = {"checkpoint-static_chair", "checkpoint-base"}
    assert set(written.artifacts) == {"checkpoint-0123abcd", "policy-ffff0000"} | kept
    assert written.artifacts["checkpoint-static_chair"]["use_after_commit"]
    policy = written.artifacts["policy-ffff0000"]
    assert not policy.get("use_after_commit", False)
    assert [entry["path"] for entry in policy["manifest"]["contents"]] == ["policy.json"]

    # Uploading removes what it has uploaded: that must be a second name of the file, in the reading run's folder.
    original = trained.folder / "checkpoints" / "best.ckpt"
    (entry,) = read["manifest"]["contents"]
    staged = Path(entry["local_path"])
    assert staged.is_relative_to(folder / "wandb")
    assert staged.samefile(original)
    assert not staged.is_symlink(), "a run made anew takes its file away"
    staged.unlink()
    assert original.read_bytes() == b"weights"

    assert written.history[0] == FLAT | {"trainer/global_step": 0}
    assert written.table("operating_points")["data"] == ROWS
    (config,) = [row["update"] for row in written.of_type("config") if "_wandb.visualize.trade_off" in row["update"]]
    panel = config["_wandb.visualize.trade_off"]["panel_config"]
    assert (panel["panelDefId"], panel["stringSettings"]["xname"]) == ("wandb/lineseries/v0", "million MACs")
    points = {(key, x): y for x, key, y in written.table("trade_off_table")["data"]}
    assert points == {(name, x): y for name, (xs, ys) in CURVES.items() for x, y in zip(xs, ys, strict=True)}

    table = written.table("predictions")
    ((image, objects),) = table["data"]
    assert (objects, image["format"], image["width"], image["height"]) == (1, "jpg", 16, 12)
    assert image["boxes"].keys() == {"ground truth", "exit1"}
    found = image["boxes"]["exit1"]
    assert [box["box_caption"] for box in found] == ["table 0.75", "chair 0.25"], "best first, weak ones not"
    assert (found[0]["class_id"], found[0]["scores"]) == (2, {"score": 0.75})
    assert found[0]["position"] == {"minX": 1, "minY": 2, "maxX": 8, "maxY": 8}
    assert '"exit1": {"1": "chair", "2": "table"}' in json.dumps(table["column_types"]), "classes can be filtered"


def test_a_failed_phase_ends_as_failed_and_keeps_no_artifact(tmp_path):
    run = a_run(tmp_path, verb="evaluate")
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UserError), tracked(LoggerConfig(), run):
        raise UserError("no such image")
    (written,) = tries(tmp_path)
    assert (written.summary["state"], written.summary["exit_code"]) == ("failed", 1)
    assert written.artifacts == {}


def test_what_wandb_refuses_is_a_warning(tmp_path, monkeypatch):
    run = a_run(tmp_path, verb="evaluate")
    (tmp_path / "metrics.json").write_text("{}")

    class Refusing(SimpleNamespace):
        def log_artifact(self, artifact: object) -> None:
            raise wandb.errors.CommError("quota\nmore")

    monkeypatch.setattr(artifacts, "_experiment", lambda logger: Refusing())
    artifacts.keep_outputs(make_logger(LoggerConfig(name="csv"), run), run)
    assert run.manifest.warnings == ["W&B did not take artifact metrics-0123abcd: quota"]


def test_best_values_are_of_all_tries(tmp_path):
    run = a_run(tmp_path, tries=2)
    measures = {"val/full/AP": "max", "val/full/ece": "min"}
    rows = [{"val/full/AP": 0.5, "val/full/ece": 0.125}, {"val/full/AP": 0.25}]
    with tracked(LoggerConfig(), run) as logger:
        best_of(logger, measures)
        logger.log_metrics({"val/full/AP": 0.25, "val/full/ece": 0.25}, step=9)
        log_best(logger, measures | {"val/full/AP_small": "max"}, rows)
    summary = tries(tmp_path)[0].summary["summary"]
    assert (summary["val/full/AP"], summary["val/full/ece"]) == ({"max": 0.5}, {"min": 0.125})
    assert "val/full/AP_small" not in summary


def test_csv_gets_the_figures_and_passes_over_the_rest(tmp_path, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = a_run(tmp_path)
    with tracked(LoggerConfig(name="csv"), run, [trained.folder]) as logger:
        log_figures(logger, FIGURES)
        log_table(logger, "predictions", ["image"], [[photo()]])
        log_curves(logger, "trade_off", CURVES, "", "")
        best_of(logger, {"a": "max"})
        log_best(logger, {"a": "max"}, [{"a": 1}])
    header, row = (tmp_path / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert {key: float(value) for key, value in found.items() if key != "step"} == FLAT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "manifest.json"]


def test_disabled_stages_nothing(tmp_path, trained):
    run = a_run(tmp_path, verb="trace")
    (tmp_path / "trace.safetensors").write_bytes(b"trace")
    with tracked(LoggerConfig(mode="disabled"), run, [trained.folder]) as logger:
        log_figures(logger, FIGURES)
        log_table(logger, "predictions", ["image"], [[photo()]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "trace.safetensors"]
