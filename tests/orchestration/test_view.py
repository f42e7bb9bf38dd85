"""What people see of a sweep."""

import io
import json
from pathlib import Path

from rich.console import Console

from cascade_exit.orchestration import Job, LedgerRow
from cascade_exit.orchestration.job import labels
from cascade_exit.orchestration.progress import Progress
from cascade_exit.orchestration.view import View, end_table

JOBS = [Job("train", (f"seed={n}",), {}, {}) for n in (1, 2, 3)]


def shown(terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=150, force_terminal=terminal, color_system=None)


def test_progress_counts_the_pace_of_this_try_only(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("cascade_exit.orchestration.progress.time.monotonic", lambda: now[0])
    rows = tmp_path / "metrics.jsonl"
    rows.write_text("".join(json.dumps({"epoch": n, "val/full/AP": n / 10}) + "\n" for n in range(4)))
    progress = Progress(epochs=10)
    progress.found(tmp_path)  # four epochs were done by an earlier try
    assert (progress.done, progress.seconds_left) == (4, None)
    now[0] = 160.0
    with rows.open("a") as file:
        file.write(json.dumps({"epoch": 4, "mean_AP": 0.4, "val/full/AP": 0.5}) + '\n{"epoch": 5, "val')
    progress.read()
    assert (progress.done, progress.ap, progress.seconds_left) == (5, 0.5, 300.0)


def test_live_table_on_a_terminal():
    console = shown(terminal=True)
    with View(console, labels(JOBS)) as view:
        view.refresh([(JOBS[0], Progress(10, done=4, ap=0.25), 75.0, "GPU 1")], waiting=1, ended=1)
    text = console.file.getvalue()
    for part in ("1 ended, 1 running, 1 waiting", "seed=1", "4/10", "0.250", "1:15", "where", "GPU 1"):
        assert part in text


def test_end_table_shows_every_job():
    rows = {
        JOBS[0].id: LedgerRow(JOBS[0].id, (), "finished", 1, 60.0, "runs/train/x-ab12cd34", metrics={"exit1/AP": 0.1}),
        JOBS[1].id: LedgerRow(JOBS[1].id, (), "failed", 2, 3.0, error="OSError: [Errno 28] full"),
    }
    console = shown(terminal=False)
    console.print(end_table(JOBS, rows, Path("sweeps/x")))
    lines = console.file.getvalue().splitlines()
    [first], [second], [third] = ([line for line in lines if f"seed={n}" in line] for n in (1, 2, 3))
    assert all(part in first for part in ("finished", "60", "0.100", "ab12cd34"))
    assert all(part in second for part in ("failed", "OSError: [Errno 28] full", f"logs/{JOBS[1].id}.log"))
    assert "waiting" in third
