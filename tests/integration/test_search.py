"""A real search: two processes on one study, one of them killed."""

import json
import time

import pytest

from cascade_exit.runs import Manifest
from tests.conftest import start


@pytest.mark.slow
def test_two_processes_one_killed(tmp_path, rooms):
    words = [f"+base.{word}" if word.split("=")[0] != "data.root" else f"base.{word}" for word in rooms]
    words = ["search", "search=rooms_exits", *words, "trials=4", f"runs_root={tmp_path}/runs"]
    words += [f"searches_root={tmp_path}/searches"]
    first = start(*words)
    while not list(tmp_path.glob("runs/train/*/metrics.jsonl")):
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.1)
    second = start(*words)
    while not list(tmp_path.glob("searches/*/worker-1/logs/*")):
        assert second.poll() is None, second.communicate()[1]
        time.sleep(0.1)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=600)
    assert second.returncode == 0, err
    [folder] = (tmp_path / "searches").glob("rooms_exits-*")
    assert out.strip().splitlines()[-1] == str(folder)
    assert (folder / "trials.png").stat().st_size > 10_000
    trials = json.loads((folder / "trials.json").read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    for trial in trials:
        exits = Manifest.read(tmp_path / trial["run"]).metrics["exits"]
        assert trial["values"] == [exits["exit1"]["AP"], exits["exit1"]["macs"]]
        assert " ".join(Manifest.read(tmp_path / trial["run"]).command.split()[2:]) in trial["command"]
    assert any(trial["best"] for trial in trials)
