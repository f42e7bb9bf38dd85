"""W&B offline: what its own reader finds in the files."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_exit.runs import UserError
from cascade_exit.tracking import LoggerConfig, finish_logger, log_histogram, log_image, make_logger, wandb_mode
from tests.tracking.stand_ins import a_run
from tests.tracking.wandb_files import tries

FACTS = {
    "id": "0123abcd",
    "command": "cascade-exit train seed=3",
    "parents": ["ffff0000"],
    "data": {"val": "f00d"},
    "git": None,
    "tries": 1,
}


def test_two_runs_in_one_process_read_back_whole_and_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "grid.png"
    Image.fromarray(np.full((6, 9, 3), 200, dtype=np.uint8)).save(picture)
    first_dir, second_dir = tmp_path / "phase1_chair-0123abcd", tmp_path / "other-ffff0000"

    config = LoggerConfig(project="p", group="g", tags=("a", "b"))
    ours = {"seed": 3, "loss": {"weights": [0.3, 0.7]}}
    first = make_logger(config, a_run(first_dir, config=ours))
    printed = capsys.readouterr().err
    assert f"to upload: wandb sync {first_dir}/wandb\n" in printed
    assert len(printed.splitlines()) == 1
    first.log_metrics({"val/full/AP": 0.25}, step=100)
    first.log_metrics({"val/full/AP": 0.5}, step=7)
    log_histogram(first, "val/exit1/confidence", np.array([0.0, 0.0, 1.0, np.nan]), step=8)
    log_histogram(first, "val/exit1/nothing", np.array([np.nan]), step=8)
    log_image(first, "val/grid", picture, step=9)
    # Left without finish_logger, as by an error that nobody caught.
    second = make_logger(config, a_run(second_dir, "ffff0000", "evaluate", {"seed": 4}))
    second.log_metrics({"val/full/AP": 0.75}, step=1)
    finish_logger(second, exit_code=0)

    (written,) = tries(first_dir)
    run = written.run
    assert run["run_id"] == "0123abcd"
    assert (run["project"], run["run_group"], run["job_type"]) == ("p", "g", "train")
    assert (run["display_name"], run["tags"]) == ("phase1_chair-0123abcd", ["a", "b"])
    assert run["config"]["update"] | {"_wandb": {}} == ours | {"manifest": FACTS, "_wandb": {}}
    logged = written.history
    assert logged[:2] == [
        {"val/full/AP": 0.25, "trainer/global_step": 100},
        {"val/full/AP": 0.5, "trainer/global_step": 7},
    ]
    histogram, image = logged[2:]
    assert histogram["trainer/global_step"] == 8
    assert sum(histogram["val/exit1/confidence.values"]) == 3
    assert image["trainer/global_step"] == 9
    assert written.metrics["*"] == {
        "glob_name": "*",
        "options": {"defined": True, "step_sync": True},
        "step_metric": "trainer/global_step",
    }
    assert written.summary["exit_code"] == 1
    saved = list(first_dir.glob("wandb/offline-run-*/files/media/images/**/*.png"))
    assert [path.read_bytes() for path in saved] == [picture.read_bytes()]

    (written,) = tries(second_dir)
    assert written.run["run_id"] == "ffff0000"
    assert written.history == [{"val/full/AP": 0.75, "trainer/global_step": 1}]
    assert written.summary["exit_code"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["grid.png", "phase1_chair-0123abcd", "other-ffff0000"]
    )


def test_a_failed_run_ends_with_exit_code_1_and_is_continued_under_its_id(tmp_path: Path) -> None:
    for number, exit_code, step in ((1, 1, 5), (2, 0, 6)):
        logger = make_logger(LoggerConfig(mode="offline"), a_run(tmp_path, tries=number))
        logger.log_metrics({"loss": 0.5}, step=step)
        finish_logger(logger, exit_code)
    failed, finished = tries(tmp_path)
    assert [(one.summary["run_id"], one.summary["state"], one.summary["exit_code"]) for one in (failed, finished)] == [
        ("0123abcd", "failed", 1),
        ("0123abcd", "finished", 0),
    ]
    assert [one.summary["summary"]["trainer/global_step"] for one in (failed, finished)] == [5, 6]
    # Uploaded, the second joins the first; a first try takes the place of what W&B has under the id.
    assert [one.run.get("resume", False) for one in (failed, finished)] == [False, True]


def test_disabled_writes_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = make_logger(LoggerConfig(mode="disabled"), a_run(tmp_path))
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
        make_logger(LoggerConfig(), a_run(tmp_path))


def test_a_run_that_wandb_cannot_begin_names_the_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def unreachable(**_arguments: object) -> None:
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", unreachable)
    with pytest.raises(UserError, match=r"no network.*logger\.mode=offline"):
        make_logger(LoggerConfig(mode="online"), a_run(tmp_path))
