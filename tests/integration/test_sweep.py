"""A real sweep, ended in the middle and given again."""

import json
import signal
import time
from pathlib import Path

import pytest

from cascade_exit.runs import Manifest
from tests.conftest import processes_with, start

WORDS = [
    "-m",
    "experiment=debug_rooms",
    "trainer.progress=false",
    "model.input.size_px=96",
    "trainer.batch_size=4",
    "trainer.max_epochs=3",
    "callbacks.pictures=0",
    "seed=1,2",
    "model.exits.exit1.channels=32,64",
    "hydra.launcher.parallel=2",
]


def last_rows(ledger: Path) -> dict[str, dict]:
    lines = ledger.read_text().split("\n")[:-1] if ledger.exists() else []
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.mark.slow
def test_ended_by_sigterm_and_given_again(tmp_path, rooms):
    words = ["train", *WORDS, *rooms, f"runs_root={tmp_path}/runs", f"hydra.sweep.dir={tmp_path}/sweeps"]
    process = start(*words)
    while True:
        assert process.poll() is None, process.communicate()[1]
        [ledger] = list((tmp_path / "sweeps").glob("*/sweep.jsonl")) or [tmp_path / "none"]
        states = [row["state"] for row in last_rows(ledger).values()]
        under_way = [row["run"] for row in last_rows(ledger).values() if row["state"] == "running" and row["run"]]
        if "finished" in states and any((Path(run) / "metrics.jsonl").exists() for run in under_way):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert processes_with(str(tmp_path)) == []
    ended = last_rows(ledger)
    # The first two make the set together, or rather one waits for the other.
    assert "failed" not in {row["state"] for row in ended.values()}
    assert "running" not in {row["state"] for row in ended.values()}
    interrupted = [row for row in ended.values() if row["state"] == "interrupted"]
    assert interrupted
    assert all(Manifest.read(Path(row["run"])).state == "interrupted" for row in interrupted if row["run"])

    process = start(*words)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert out.strip().splitlines()[-1] == str(ledger.parent)
    rows = last_rows(ledger)
    assert len(rows) == len({row["run"] for row in rows.values()}) == 4
    for name, row in rows.items():
        manifest = Manifest.read(Path(row["run"]))
        assert (row["state"], manifest.state) == ("finished", "finished")
        assert row["metrics"]["full/AP"] == manifest.metrics["exits"]["full"]["AP"]
        before = ended.get(name, {"state": "new", "tries": 0})
        assert row["tries"] == before["tries"] + (before["state"] != "finished")

    process = start(*words, "hydra.launcher.dry_run=true")
    _, err = process.communicate(timeout=300)
    assert "0 of 4 jobs would run" in err
