"""Killed with -9 at random moments of every verb, given again each time: the same numbers in the end."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.conftest import REPOSITORY, processes_with, start

CHAIR = str(REPOSITORY / "models" / "chair")
TRAIN = [
    "experiment=debug_rooms",
    "trainer.progress=false",
    "model.input.size_px=96",
    "trainer.batch_size=4",
    "trainer.max_epochs=3",
    "trainer.checkpoint_minutes=0.0001",  # after every step
    "callbacks.pictures=1",
]
# Every verb that writes, and how often it is killed.
VERBS = {
    "train": (["train", *TRAIN], 6),
    "trace": (["trace", f"run={CHAIR}", "split=calibrate"], 2),
    "tune": (["tune", f"run={CHAIR}", "family=certainty", "max_relative_ap_drop=0.5", "quantiles=4", "pictures=1"], 4),
    "evaluate": (["evaluate", f"run={CHAIR}", "policy=shipped", "bootstrap=100", "latency_images=0", "pictures=1"], 3),
    "report": (["report", f"runs=[{CHAIR}]"], 2),
    "sweep": (["train", "-m", *TRAIN, "seed=1,2", "hydra.launcher.parallel=2"], 3),
}
# Of the moment, not of the result.
VOLATILE = {"provenance", "times", "seconds", "tries", "started", "finished", "time", "created", "command"}
# A process that was killed leaves what it was writing under a name of its own.
UNFINISHED = ".tmp"


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


def changes(process: subprocess.Popen[str], folder: Path) -> Iterator[int]:
    """Counts the changes of files below a folder while a process runs."""
    before, count = files(folder), 0
    while process.poll() is None:
        now = files(folder)
        count += len(now.items() - before.items())
        before = now
        yield count
        time.sleep(0.003)


def run(words: list[str], root: Path, kill_after: int | None = None) -> tuple[bool, int]:
    """Runs a command; with `kill_after` ends all its processes at that change. Says whether it ended by itself."""
    process = start(*words, f"runs_root={root}/runs", f"hydra.sweep.dir={root}/sweeps")
    count = 0
    for count in changes(process, root):
        if kill_after is not None and count >= kill_after:
            while killed := processes_with(str(root)):
                for number in killed:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                process.communicate()
            return False, count
    _, err = process.communicate()
    assert process.returncode == 0, err
    return True, count


def still(value: Any) -> Any:
    """What is left of a JSON value without the moment that it was made in."""
    if isinstance(value, dict):
        return {key: still(item) for key, item in value.items() if key not in VOLATILE}
    return [still(item) for item in value] if isinstance(value, list) else value


def outcome(root: Path) -> dict[str, Any]:
    """What a verb left behind, by the file's path."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.name in ("metrics.json", "policy.json", "tuning.json", "detections.json"):
            found[name] = still(json.loads(path.read_text().replace(str(root), "")))
        elif path.name == "report.html":
            found[name] = re.sub(r"Made by .*?<", "<", path.read_text().replace(str(root), ""))
        elif path.name == "metrics.jsonl" or path.suffix == ".png":
            found[name] = path.read_bytes()
        elif path.suffix == ".ckpt":
            state = torch.load(path, weights_only=True)["state_dict"]
            found[name] = {key: value.numpy().tobytes() for key, value in state.items()}
        elif path.name == "trace.safetensors":
            with safe_open(path, framework="np") as trace:
                found[name] = trace.metadata()["sha256"]  # of its content; the file's header has no fixed order
        elif path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            found[name] = manifest["state"], manifest["id"], still(manifest["metrics"])
        elif path.name == "sweep.jsonl":
            # Ids of jobs and sweeps follow from the words, which name the folder here.
            last = {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}
            jobs = (([word for word in row["overrides"] if str(root) not in word], row) for row in last.values())
            found["ledger"] = {" ".join(words): (row["state"], still(row["metrics"])) for words, row in jobs}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_random_moments_equals_never_killed(verb, tmp_path, rooms):
    words, kills = VERBS[verb]
    if verb != "report":
        words = [*words, *([] if "experiment=debug_rooms" in words else ["data=rooms"]), *rooms]
    _, whole_changes = run(words, tmp_path / "whole")
    expected = outcome(tmp_path / "whole")
    assert len(expected) >= 2
    broken, moments = tmp_path / "broken", random.Random(verb)
    broken.mkdir()
    done = 0
    while done < kills:
        ended, _ = run(words, broken, kill_after=moments.randint(1, max(2, whole_changes * 2 // 3)))
        done += not ended
        if ended:  # the moment came too late for what was left: from the start again
            assert outcome(broken).keys() == expected.keys()
            shutil.rmtree(broken)
            broken.mkdir()
    run(words, broken)
    found = outcome(broken)
    assert found.keys() == expected.keys()
    different = [name for name, value in expected.items() if found[name] != value]
    assert not different
    assert not [path for path in broken.rglob("*") if UNFINISHED in path.name]
