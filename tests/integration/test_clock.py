"""A clock that jumps to and fro under a training and a trace: durations and states stay true."""

import json
from collections.abc import Iterator
from typing import Any

from cascade_exit.runs import Manifest

SMALL = ["experiment=debug_rooms", "model.input.size_px=96", "trainer.batch_size=8", "callbacks.pictures=0"]
SMALL += ["trainer.max_epochs=3", "trainer.limit_train_batches=1", "logger=csv"]


def negative(value: Any, key: str = "") -> Iterator[str]:
    """Keys of durations below zero."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from negative(item, name)
    elif "seconds" in key and value < 0:
        yield key


def test_training_and_what_is_made_of_it(cli, rooms, tmp_path, jumping_clock):
    words = [*SMALL, *rooms, f"runs_root={tmp_path}"]
    trained = cli("train", *words)
    assert trained.code == 0, trained.err
    manifest = Manifest.read(trained.run)
    assert manifest.state == "finished"
    assert 0 < manifest.times.seconds < 600
    assert not list(negative(vars(manifest.times)))
    rows = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert cli("train", *words).run == trained.run
    assert Manifest.read(trained.run) == manifest
    traced = cli("trace", f"run={manifest.id}", "split=calibrate", f"runs_root={tmp_path}")
    assert traced.code == 0, traced.err
    listed = cli("runs", f"run={Manifest.read(traced.run).id}", f"runs_root={tmp_path}")
    assert "run anew" not in listed.out
    assert "stale" not in listed.out
