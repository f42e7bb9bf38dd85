"""Killed (-9) and continued: our own record is whole, and W&B's two folders are of one run."""

import json
import os
import signal
import time

import pytest

from tests.conftest import start
from tests.tracking.wandb_files import tries

WORDS = [
    "experiment=debug_rooms",
    "logger=wandb",
    "logger.mode=offline",
    "trainer.progress=false",
    "model.input.size_px=96",
    "trainer.batch_size=4",
    "trainer.max_epochs=6",
    "callbacks.pictures=0",
]


@pytest.mark.slow
def test_the_record_is_whole_and_wandb_goes_on_under_the_same_id(tmp_path, rooms):
    words, record = [*WORDS, *rooms, f"run_dir={tmp_path / 'run'}"], tmp_path / "run" / "metrics.jsonl"
    process = start("train", *words)
    while not record.exists() or record.read_text().count("\n") < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = record.read_text().splitlines()
    process = start("train", *words)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "wandb sync" in err

    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(6))
    assert record.read_text().splitlines()[:2] == before[:2]
    killed, finished = tries(tmp_path / "run")
    # A killed run loses what W&B has not yet written: of a short one, all.
    for one in [each for each in (killed, finished) if each is finished or each.of_type("run")]:
        assert one.run["run_id"] == json.loads((tmp_path / "run/manifest.json").read_text())["id"]
        assert one.run["run_group"] == "debug_rooms"
    assert finished.run["resume"]
    assert killed.of_type("exit") == []
    assert killed.artifacts == {}
    assert finished.summary["state"] == "finished"
    assert [name.split("-")[0] for name in finished.artifacts] == ["checkpoint"]
    # W&B may lack the last rows of a killed run; what it has is what the record has.
    seen = [row for one in (killed, finished) for row in one.history if "val/full/AP" in row]
    of_record = {row["epoch"]: row["val/full/AP"] for row in rows}
    assert seen
    assert all(row["val/full/AP"] == pytest.approx(of_record[row["epoch"]]) for row in seen)
    assert {row["epoch"] for row in finished.history if "val/full/AP" in row} >= {4, 5}
    best = max(row["val/mean_AP"] for row in rows)
    assert finished.summary["summary"]["val/mean_AP"] == {"max": pytest.approx(best)}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert finished.summary["summary"]["exits/full/AP"] == pytest.approx(metrics["exits"]["full"]["AP"])
