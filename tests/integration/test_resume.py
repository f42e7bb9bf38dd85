"""Killed (-9) and continued equals never killed, bit for bit, with 0 and 2 workers, in mid-epoch and between."""

import contextlib
import os
import re
import signal
import time

import pytest
import torch

from tests.conftest import start

# Small enough for seconds, with everything on that could break exactness: augmentation, EMA, all three periods, images
# that come again, weights of classes.
WORDS = [
    "experiment=debug_rooms",
    "trainer.progress=false",
    "model.input.size_px=96",
    "trainer.batch_size=4",
    "trainer.max_epochs=6",
    "trainer.checkpoint_minutes=0.0001",  # after every step
    "callbacks.pictures=0",
    "sampling=repeat_factor",
    "sampling.threshold=1",
    "loss.classification=focal",
    "loss.class_balance_beta=0.99",
]


def train(tmp_path, rooms, workers, kill_at=None):
    """Runs `train`; with `kill_at` kills it once so many checkpoints have been written. Returns the last checkpoint."""
    words = [*WORDS, *rooms, f"data.workers={workers}", f"run_dir={tmp_path}"]
    last = tmp_path / "checkpoints" / "last.ckpt"
    process = start("train", *words)
    if kill_at is not None:
        seen, before = 0, None
        while seen < kill_at:
            assert process.poll() is None, process.communicate()[1]
            # Not there before the first one, and for a moment while a new one takes its place.
            with contextlib.suppress(FileNotFoundError):
                now = last.stat().st_mtime_ns
                if now != before:
                    seen, before = seen + 1, now
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        left = last if last.exists() else last.with_name("previous.ckpt")
        step = torch.load(left, weights_only=True)["global_step"]
        process = start("train", *words)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert re.search(r"Going on with .* \(try 2\)", err)
        return torch.load(last, weights_only=True), step
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return torch.load(last, weights_only=True), 0


def tensors(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(item, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from tensors(item, f"{name}/{index}")


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kill_at"), [(0, 3), (0, 9), (2, 16), (0, 29)])
def test_killed_equals_never_killed(tmp_path, rooms, workers, kill_at):
    whole, _ = train(tmp_path / "whole", rooms, workers)
    broken, step = train(tmp_path / "broken", rooms, workers, kill_at)
    assert 0 < step < whole["global_step"] == broken["global_step"]
    for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        ours, theirs = dict(tensors(broken[key])), dict(tensors(whole[key]))
        assert ours.keys() == theirs.keys()
        different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
        assert not different, f"{key}: {len(different)} of {len(ours)} differ, first {different[:3]}"
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "broken")]
    assert rows[0] == rows[1]
