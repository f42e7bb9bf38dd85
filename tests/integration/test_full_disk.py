"""The disk is full at some moment of a training: nothing is lost, one line says so, and the same command goes on."""

import errno
import json
import os
from pathlib import Path

import pytest

from cascade_exit.model.checkpoint import read_state_file
from cascade_exit.runs import Manifest
from cascade_exit.runs.atomic import TEMPORARY_PREFIX
from cascade_exit.training.callbacks.checkpoints import BEST, LAST

SMALL = ["experiment=debug_rooms", "model.input.size_px=96", "trainer.batch_size=8", "callbacks.pictures=0"]
SMALL += ["trainer.max_epochs=3", "trainer.limit_train_batches=1", "logger=csv"]


class Disk:
    """Becomes full at the n-th flush of a file, of which only a part is there then; all later ones fail too."""

    def __init__(self, monkeypatch) -> None:
        self._name, self._left = "", 0
        self._flush = os.fsync
        monkeypatch.setattr(os, "fsync", self._or_full)

    def _or_full(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._left -= path.name.endswith(self._name)
        if self._name and self._left <= 0 and path.is_file():
            os.truncate(path, path.stat().st_size - 5)
            raise OSError(errno.ENOSPC, "No space left on device")
        self._flush(descriptor)

    def fills_at(self, name: str, flush: int) -> None:
        self._name, self._left = name, flush

    def has_room(self) -> None:
        self._name = ""


@pytest.fixture
def disk(monkeypatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize(
    ("name", "flush"),
    [
        (LAST, 2),
        pytest.param(BEST, 1, marks=pytest.mark.slow),
        pytest.param("metrics.jsonl", 2, marks=pytest.mark.slow),
        pytest.param("manifest.json", 1, marks=pytest.mark.slow),
        pytest.param("manifest.json", 2, marks=pytest.mark.slow),
        pytest.param("metrics.json", 1, marks=pytest.mark.slow),
    ],
)
def test_the_same_command_goes_on_once_there_is_room(cli, rooms, tmp_path, disk, name, flush):
    words = ["train", *SMALL, *rooms, f"runs_root={tmp_path}"]
    disk.fills_at(name, flush)
    answer = cli(*words)
    assert answer.code == 1, answer
    [run] = tmp_path.glob("train/*-*")
    assert "Traceback" not in answer.err
    assert answer.errors[-1] == f"{run}: the disk is full; make room, and the same command goes on from there"
    kept = sorted(path.name for path in run.glob("checkpoints/[!.]*.ckpt"))
    assert kept == sorted({LAST: [BEST, LAST], BEST: []}.get(name, kept))
    for checkpoint in kept:
        assert "state_dict" in read_state_file(run / "checkpoints" / checkpoint)
    began = (run / "manifest.json").exists()
    assert not began or Manifest.read(run).state == "running"  # as after a kill: nothing could be written

    disk.has_room()
    again = cli(*words)
    assert (again.code, again.run) == (0, run), again.err
    manifest = Manifest.read(run)
    assert (manifest.state, manifest.tries, manifest.error) == ("finished", 1 + began, None)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert json.loads((run / "metrics.json").read_text())["exits"] == manifest.metrics["exits"]
    assert not list(run.rglob(f"{TEMPORARY_PREFIX}*"))
