"""W&B offline: what its own reader finds in the files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cascade_exit.runs import UserError
from cascade_exit.tracking import LoggerConfig, finish_logger, log_histogram, log_image, make_logger, wandb_mode

WANDB = Path(sys.executable).with_name("wandb")
NAMES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    # Set as well, so that what make_logger sets in the environment is undone after the test.
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture(autouse=True)
def _no_run_left() -> Iterator[None]:
    yield
    import wandb

    if wandb.run is not None:
        wandb.run.finish(exit_code=1)


def records(run_dir: Path) -> list[dict[str, Any]]:
    """All records of the newest offline run, as `wandb leet inspect` prints them."""
    path = max(run_dir.glob("wandb/offline-run-*/run-*.wandb"))
    done = subprocess.run([WANDB, "leet", "inspect", "--json", path], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row[kind] for row in rows if row["type"] == kind]


def history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Logged rows without W&B's own keys."""
    items = [row["item"] for row in of_type(rows, "history")]
    return [{key: value for key, value in item.items() if not key.startswith("_")} for item in items]


def test_two_runs_in_one_process_read_back_whole_and_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "grid.png"
    Image.fromarray(np.full((6, 9, 3), 200, dtype=np.uint8)).save(picture)
    first_dir, second_dir = tmp_path / "phase1_chair-0123abcd", tmp_path / "other-ffff0000"
    first_dir.mkdir()
    second_dir.mkdir()

    config = LoggerConfig(project="p", group="g", tags=("a", "b"))
    first = make_logger(config, first_dir, "0123abcd", "train", {"seed": 3, "loss": {"weights": [0.3, 0.7]}})
    printed = capsys.readouterr().out
    assert f"wandb sync {first_dir}/wandb/offline-run-*" in printed
    assert len(printed.splitlines()) == 1
    first.log_metrics({"val/full/AP": 0.25}, step=100)
    first.log_metrics({"val/full/AP": 0.5}, step=7)
    log_histogram(first, "val/exit1/confidence", np.array([0.0, 0.0, 1.0, np.nan]), step=8)
    log_histogram(first, "val/exit1/nothing", np.array([np.nan]), step=8)
    log_image(first, "val/grid", picture, step=9)
    # Left without finish_logger, as by an error that nobody caught.
    second = make_logger(config, second_dir, "ffff0000", "evaluate", {"seed": 4})
    second.log_metrics({"val/full/AP": 0.75}, step=1)
    finish_logger(second, exit_code=0)

    rows = records(first_dir)
    run = of_type(rows, "run")[0]
    assert run["run_id"] == "0123abcd"
    assert (run["project"], run["run_group"], run["job_type"]) == ("p", "g", "train")
    assert (run["display_name"], run["tags"]) == ("phase1_chair-0123abcd", ["a", "b"])
    assert run["config"]["update"] | {"_wandb": {}} == {"seed": 3, "loss": {"weights": [0.3, 0.7]}, "_wandb": {}}
    logged = history(rows)
    assert logged[:2] == [
        {"val/full/AP": 0.25, "trainer/global_step": 100},
        {"val/full/AP": 0.5, "trainer/global_step": 7},
    ]
    histogram, image = logged[2:]
    assert histogram["trainer/global_step"] == 8
    assert sum(histogram["val/exit1/confidence.values"]) == 3
    assert image["trainer/global_step"] == 9
    assert {
        "glob_name": "*",
        "options": {"defined": True, "step_sync": True},
        "step_metric": "trainer/global_step",
    } in (of_type(rows, "metric"))
    assert of_type(rows, "exit")[0]["exit_code"] == 1
    saved = list(first_dir.glob("wandb/offline-run-*/files/media/images/**/*.png"))
    assert [path.read_bytes() for path in saved] == [picture.read_bytes()]

    rows = records(second_dir)
    assert of_type(rows, "run")[0]["run_id"] == "ffff0000"
    assert history(rows) == [{"val/full/AP": 0.75, "trainer/global_step": 1}]
    assert of_type(rows, "exit")[0].get("exit_code", 0) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["grid.png", "phase1_chair-0123abcd", "other-ffff0000"]
    )


def test_a_failed_run_ends_with_exit_code_1_and_is_continued_under_its_id(tmp_path: Path) -> None:
    for exit_code, step in ((1, 5), (0, 6)):
        logger = make_logger(LoggerConfig(mode="offline"), tmp_path, "0123abcd", "train", {})
        logger.log_metrics({"loss": 0.5}, step=step)
        finish_logger(logger, exit_code)
    tries = sorted(tmp_path.glob("wandb/offline-run-*"))
    commands = [[str(WANDB), "leet", "inspect", "--summary", "--json", str(path)] for path in tries]
    outputs = [subprocess.run(command, capture_output=True, check=True).stdout for command in commands]
    summaries = [json.loads(output) for output in outputs]
    assert [(one["run_id"], one["state"], one["exit_code"]) for one in summaries] == [
        ("0123abcd", "failed", 1),
        ("0123abcd", "finished", 0),
    ]
    assert [one["summary"]["trainer/global_step"] for one in summaries] == [5, 6]


def test_disabled_writes_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = make_logger(LoggerConfig(mode="disabled"), tmp_path, "0123abcd", "train", {})
    logger.log_metrics({"loss": 0.5}, step=1)
    finish_logger(logger, 0)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.glob("wandb/*run-*")) == []


def test_auto_is_online_only_with_a_key_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    assert wandb_mode(LoggerConfig()) == "offline"
    netrc.write_text("machine example.org login user password k\n")
    assert wandb_mode(LoggerConfig()) == "offline"
    netrc.write_text("machine api.wandb.ai login user password k\n")
    assert wandb_mode(LoggerConfig()) == "online"
    assert wandb_mode(LoggerConfig(mode="offline")) == "offline"
    monkeypatch.setenv("WANDB_BASE_URL", "https://example.net:8080")
    assert wandb_mode(LoggerConfig()) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert wandb_mode(LoggerConfig()) == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode(LoggerConfig()) == "offline"
    netrc.write_text("no netrc at all {")
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE")
    assert wandb_mode(LoggerConfig()) == "offline"


def test_without_wandb_the_way_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb, or give logger=csv"):
        make_logger(LoggerConfig(), tmp_path, "0123abcd", "train", {})


def test_a_run_that_wandb_cannot_begin_names_the_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def unreachable(**_arguments: object) -> None:
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", unreachable)
    with pytest.raises(UserError, match=r"no network.*logger\.mode=offline"):
        make_logger(LoggerConfig(mode="online"), tmp_path, "0123abcd", "train", {})
