"""The same jobs through submitit on this machine and through Ray on this machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cascade_exit.orchestration.executors import open_executor
from cascade_exit.orchestration.settings import LaunchConfig, RayConfig, SlurmConfig
from cascade_exit.runs import Manifest, UserError, is_locked
from tests.conftest import REPOSITORY

SETTINGS = {
    "submitit": {"executor": "slurm", "slurm": SlurmConfig(cluster="local", gpus=0)},
    "ray": {"executor": "ray", "ray": RayConfig(cpus=0.5)},
}


def sweep(bench, jobs, **settings):
    with open_executor(LaunchConfig(**settings), bench.root / "sweeps" / "x") as executor:
        return bench.sweep(jobs, folder="x", through=executor, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", SETTINGS)
def test_jobs_finish_fail_and_go_on(bench, cluster, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    jobs = [bench.job(1), bench.job(2, "failures=1"), bench.job(3, "wait=true")]
    bench.when("working-1", "working-2", "working-3", then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, rows = sweep(bench, jobs, parallel=3, **SETTINGS[cluster])
    assert code == 128 + signal.SIGTERM
    assert rows[3].state == "interrupted"
    assert Manifest.read(bench.root / rows[3].run).state == "interrupted"  # cleanly
    (bench.root / "go").touch()
    code, rows = sweep(bench, jobs, parallel=2, retries=1, **SETTINGS[cluster])
    assert code == 0, bench.said
    assert [(row.state, row.metrics["full/AP"]) for row in rows.values()] == [("finished", 0.5)] * 3
    assert [len(bench.starts(n)) for n in (1, 2, 3)] == [1, 2, 2]
    log = (bench.folder / "logs" / f"{rows[2].id}.log").read_text()
    assert "RuntimeError: no luck in try 1" in log
    assert "in _work" in log
    assert sweep(bench, jobs, **SETTINGS[cluster])[0] == 0
    assert len(bench.starts(1)) == 1


@pytest.mark.slow
def test_submitit_puts_a_job_back_when_its_time_is_up(bench, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def warn():
        # Of the processes that submitit has, the one that stands by the job.
        [far_end] = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if _is_task(path, bench.root)]
        os.kill(int(far_end), signal.SIGUSR2)
        (bench.root / "working-1").unlink()
        bench.when("working-1", then=(bench.root / "go").touch)

    bench.when("working-1", then=warn)
    code, rows = sweep(bench, [bench.job(1, "wait=true")], **SETTINGS["submitit"])
    assert (code, rows[1].state, rows[1].tries) == (0, "finished", 1)
    assert Manifest.read(bench.root / rows[1].run).tries == 2


def _is_task(path: Path, root: Path) -> bool:
    words = path.read_bytes().split(b"\0")
    return b"submitit.core._submit" in words and any(str(root).encode() in word for word in words)


@pytest.mark.slow
def test_ray_ends_the_jobs_of_a_sweep_that_was_killed(bench, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    code = (
        "import pathlib, sys\n"
        "from tests.orchestration.conftest import Bench\n"
        "from tests.orchestration.test_clusters import SETTINGS, sweep\n"
        f"bench = Bench(pathlib.Path({str(bench.root)!r}))\n"
        "sweep(bench, [bench.job(1, 'wait=true')], **SETTINGS['ray'])\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while not (bench.root / "working-1").exists():
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    [run] = [path.parent for path in bench.root.glob("runs/train/*/manifest.json")]
    end = time.monotonic() + 60
    while is_locked(run) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_locked(run)
    (bench.root / "go").touch()
    ended, rows = sweep(bench, [bench.job(1, "wait=true")], **SETTINGS["ray"])
    assert (ended, rows[1].state, rows[1].tries) == (0, "finished", 2)


@pytest.mark.slow
def test_ray_that_never_could_is_refused():
    settings = LaunchConfig(executor="ray", ray=RayConfig(cpus=1000.0))
    refused = pytest.raises(UserError, match=r"hydra.launcher.ray.cpus=1000: the cluster has \d+ in all")
    with refused, open_executor(settings, Path("sweeps/x")):
        pass


@pytest.mark.parametrize(("executor", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_extra_is_named(executor, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    refused = pytest.raises(
        UserError, match=rf"hydra.launcher.executor={executor} needs .*'cascade_exit\[{executor}\]'"
    )
    with refused, open_executor(LaunchConfig(executor=executor), tmp_path):
        pass


def test_slurm_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = pytest.raises(UserError, match="there is no srun here")
    with refused, open_executor(LaunchConfig(executor="slurm"), tmp_path):
        pass
