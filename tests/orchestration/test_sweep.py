"""Sweeps end with what their runs' manifests say, however often and by whomever they are interrupted."""

import io
import os
import signal
import subprocess
import time

import pytest

from cascade_exit.orchestration import Standing, job_standing
from cascade_exit.orchestration import sweep as sweep_module
from cascade_exit.runs import Manifest, UserError, hold_lock


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end_this(signum: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), signum)


def test_runs_once_and_never_again(bench):
    jobs = [bench.job(1), bench.job(2)]
    code, rows = bench.sweep(jobs)
    assert code == 0
    for number, row in rows.items():
        assert (row.state, row.tries, row.error) == ("finished", 1, None)
        assert row.metrics == {"exit1/AP": 0.25, "full/AP": 0.5}
        assert Manifest.read(bench.root / row.run).identity["number"] == number
    ledger = (bench.folder / "sweep.jsonl").read_bytes()
    assert bench.sweep(list(reversed(jobs)))[0] == 0
    assert len(bench.starts(1)) == len(bench.starts(2)) == 1
    assert (bench.folder / "sweep.jsonl").read_bytes() == ledger


def test_failed_job_keeps_its_traceback_and_runs_again_alone(bench):
    jobs = [bench.job(1, "failures=1"), bench.job(2)]
    code, rows = bench.sweep(jobs)
    assert code == 1
    assert (rows[1].state, rows[2].state) == ("failed", "finished")
    assert rows[1].error == "RuntimeError: no luck in try 1"
    log = (bench.folder / "logs" / f"{rows[1].id}.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "in _work" in log
    code, rows = bench.sweep(jobs)
    assert code == 0
    assert (rows[1].state, rows[1].tries, rows[1].error) == ("finished", 2, None)
    assert (len(bench.starts(1)), len(bench.starts(2))) == (2, 1)


def test_retries(bench):
    code, rows = bench.sweep([bench.job(1, "failures=2"), bench.job(2, "failures=1")], retries=1)
    assert code == 1
    assert (rows[1].state, rows[1].tries) == ("failed", 2)
    assert (rows[2].state, rows[2].tries) == ("finished", 2)


def test_stop_lets_running_jobs_finish_and_starts_no_more(bench):
    jobs = [bench.job(1, "failures=1"), bench.job(2, "wait=true"), bench.job(3)]

    def go_once_failed():
        while '"failed"' not in (bench.root / "sweeps/x/sweep.jsonl").read_text():
            time.sleep(0.02)
        (bench.root / "go").touch()

    bench.when("working-2", then=go_once_failed)
    code, rows = bench.sweep(jobs, folder="x", parallel=2, on_failure="stop")
    assert code == 1
    assert (rows[1].state, rows[2].state, rows[3]) == ("failed", "finished", None)
    assert bench.starts(3) == []


def test_sigterm_ends_every_child_and_the_next_call_goes_on(bench):
    jobs = [bench.job(1), bench.job(2, "wait=true"), bench.job(3, "wait=true"), bench.job(4)]
    bench.when("working-2", "working-3", then=end_this)
    code, rows = bench.sweep(jobs, parallel=2)
    assert code == 128 + signal.SIGTERM
    assert [rows[n] and rows[n].state for n in (1, 2, 3, 4)] == ["finished", "interrupted", "interrupted", None]
    assert not any(alive(int(pid)) for n in (2, 3) for pid, *_ in bench.starts(n))
    assert Manifest.read(bench.root / rows[2].run).state == "interrupted"
    (bench.root / "go").touch()
    code, rows = bench.sweep(jobs)
    assert code == 0
    assert [rows[n].tries for n in (1, 2, 3, 4)] == [1, 2, 2, 1]
    assert Manifest.read(bench.root / rows[2].run).tries == 2


def test_a_closed_terminal_ends_every_child(bench):
    class Screen(io.StringIO):
        def write(self, text):
            if (bench.root / "working-1").exists():
                raise OSError(5, "Input/output error")
            return super().write(text)

    bench.when("working-1", then=lambda: end_this(signal.SIGHUP))
    code, rows = bench.sweep([bench.job(1, "wait=true")], screen=Screen())
    assert (code, rows[1].state) == (128 + signal.SIGHUP, "interrupted")
    assert not alive(int(bench.starts(1)[0][0]))


def test_a_job_that_will_not_end_is_killed_with_all_it_started(bench, monkeypatch):
    monkeypatch.setattr(sweep_module, "GRACE_SECONDS", 0.5)
    jobs = [bench.job(1, "stubborn=true", "wait=true")]
    bench.when("working-1", then=lambda: end_this(signal.SIGINT))
    code, rows = bench.sweep(jobs)
    assert code == 128 + signal.SIGINT
    assert rows[1].state == "interrupted"
    left = [int(bench.starts(1)[0][0]), int((bench.root / "grandchild").read_text())]
    end = time.monotonic() + 5  # for the system to bury them
    while any(map(alive, left)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, left))


def test_a_run_that_another_process_has_open_is_not_started(bench):
    job = bench.job(1, "wait=true")
    other = subprocess.Popen(bench.command(job), stdout=subprocess.DEVNULL)
    try:
        while not (bench.root / "working-1").exists():
            time.sleep(0.02)
        code, rows = bench.sweep([job, bench.job(2)])
        assert code == 1  # not all is finished
        assert (rows[1].state, rows[2].state) == ("running", "finished")
        assert len(bench.starts(1)) == 1
    finally:
        (bench.root / "go").touch()
        assert other.wait(60) == 0
    # What ended meanwhile is believed without a process.
    code, rows = bench.sweep([job, bench.job(2)])
    assert (code, rows[1].state, rows[1].tries) == (0, "finished", 0)
    assert len(bench.starts(1)) == 1


def test_a_job_that_another_sweep_takes_first_counts_as_running(bench, monkeypatch):
    """Both sweeps have looked before either job has opened the run; the second to open it is refused."""
    job, looks = bench.job(1, "wait=true"), []

    def looked_too_early(*what):
        looks.append(what)
        return Standing("due", "never run") if len(looks) <= 2 else job_standing(*what)

    monkeypatch.setattr(sweep_module, "job_standing", looked_too_early)
    other = subprocess.Popen(bench.command(job), stdout=subprocess.DEVNULL)
    try:
        while not (bench.root / "working-1").exists():
            time.sleep(0.02)
        code, rows = bench.sweep([job], on_failure="stop")
    finally:
        (bench.root / "go").touch()
        assert other.wait(60) == 0
    assert (code, rows[1].state, rows[1].error) == (1, "running", None)
    assert len(bench.starts(1)) == 2


def test_the_same_sweep_twice_at_once_is_refused(bench):
    refused = []

    def second():
        try:
            with hold_lock(bench.root / "sweeps" / "x"):
                pass
        except UserError as error:
            refused.append(str(error))
        (bench.root / "go").touch()

    bench.when("working-1", then=second)
    assert bench.sweep([bench.job(1, "wait=true")], folder="x")[0] == 0
    assert "is in use by process" in refused[0]


def test_changed_settings_run_again_under_the_same_words(bench):
    job = bench.job(1)
    bench.sweep([job])
    # As when the experiment's file was changed: same words, other settings.
    changed = type(job)(job.verb, job.overrides, {**job.config, "epochs": 5}, {**job.identity, "epochs": 5})
    bench.sweep([changed])
    assert len(bench.starts(1)) == 2


def test_gpus_are_handed_out_one_per_job(bench):
    jobs = [bench.job(n, "wait=true") for n in (1, 2)]
    bench.when("working-1", "working-2", then=(bench.root / "go").touch)
    assert bench.sweep(jobs, parallel=2, gpus=("3", "5"))[0] == 0
    assert sorted(bench.starts(n)[0][1] for n in (1, 2)) == ["3", "5"]


def test_lines_where_there_is_no_terminal(bench):
    bench.sweep([bench.job(1), bench.job(2, "failures=1")])
    assert "(number=1): started" in bench.said
    assert "(number=1): finished in" in bench.said
    assert "(number=2 failures=1): failed: RuntimeError: no luck in try 1" in bench.said


def test_ledger_that_cannot_be_written_leaves_no_child(bench, monkeypatch):
    def full(self, row):
        raise OSError(28, "No space left on device")

    bench.when("working-1", then=lambda: monkeypatch.setattr(sweep_module.Ledger, "write", full))
    with pytest.raises(OSError, match="No space left"):
        bench.sweep([bench.job(1, "wait=true"), bench.job(2, "failures=1")], parallel=2)
    assert not alive(int(bench.starts(1)[0][0]))
