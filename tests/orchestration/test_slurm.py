"""Jobs that go through Slurm's programs: what they ask for, and that none is handed in twice."""

import os
import signal
import socket
import sys
import time

import pytest
from lightning.fabric.plugins.environments import SLURMEnvironment

from cascade_exit.orchestration import Job, remote
from cascade_exit.orchestration import slurm as slurm_module
from cascade_exit.orchestration.executors import open_executor
from cascade_exit.orchestration.settings import LaunchConfig, SlurmConfig
from cascade_exit.runs import Manifest, UserError, is_locked
from tests.orchestration.fake_slurm import slurm  # noqa: F401


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No patience with a queue that answers at once, on a file system that shows what it holds."""
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(slurm_module, "QUEUE_SECONDS", 0.1)


def through_slurm(bench, jobs, **settings):
    settings = {"executor": "slurm", **settings}
    with open_executor(LaunchConfig(**settings), bench.root / "sweeps" / "x") as executor:
        return bench.sweep(jobs, folder="x", through=executor, **settings)


def test_a_sweep_through_slurm_and_again(bench, slurm):  # noqa: F811
    jobs = [bench.job(1), bench.job(2, "failures=1")]
    code, rows = through_slurm(bench, jobs, parallel=2)
    assert code == 1
    assert (rows[1].state, rows[1].submission, rows[1].metrics["full/AP"]) == ("finished", "slurm:1000", 0.5)
    assert (rows[2].state, rows[2].error) == ("failed", "RuntimeError: no luck in try 1")
    log = (bench.folder / "logs" / f"{rows[2].id}.log").read_text()
    assert log.startswith("$ ")
    assert "in _work" in log
    code, rows = through_slurm(bench, jobs)
    assert (code, rows[2].state, rows[2].tries, rows[2].submission) == (0, "finished", 2, "slurm:1002")
    assert len(slurm.scripts) == 3


def test_the_script_asks_for_what_was_set(bench, slurm):  # noqa: F811
    asked = SlurmConfig(
        partition="long",
        gpus=2,
        cpus=6,
        memory_gb=24.0,
        hours=1.5,
        setup=("module load cuda",),
        options={"account": "me"},
    )
    code, rows = through_slurm(bench, [bench.job(1)], slurm=asked)
    assert code == 0
    [script] = slurm.scripts
    flags = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert flags >= {
        "partition=long",
        "gpus-per-node=2",
        "cpus-per-task=6",
        "mem=24GB",
        "time=90",
        "nodes=1",
        "ntasks-per-node=1",
        "requeue",
        "account=me",
        "signal=USR2@120",
        f"job-name=cascade-exit-{rows[1].id}",
        "open-mode=append",
    }
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands[0] == "module load cuda"
    assert commands[-1].startswith("srun ")
    assert f"{sys.executable} -u -m submitit.core._submit {bench.folder}/submitted" in commands[-1]


def on_two_nodes(bench, number: int, *words: str) -> Job:
    return bench.job(number, *words, trainer={"num_nodes": 2})


def test_a_job_on_two_nodes_is_one_run_whose_further_process_comes_when_it_is_open(bench, slurm):  # noqa: F811
    # It goes on from an interrupted try: what the further process finds must be of this one.
    job = on_two_nodes(bench, 1, "wait=true")
    bench.when("working-1", then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, rows = through_slurm(bench, [job])
    assert (code, rows[1].state) == (128 + signal.SIGTERM, "interrupted")
    (bench.root / "helped-1").unlink(missing_ok=True)
    bench.when("helped-1", then=(bench.root / "go").touch)
    code, rows = through_slurm(bench, [job])
    assert (code, rows[1].state) == (0, "finished"), rows[1].error
    flags = {line.removeprefix("#SBATCH --") for line in slurm.scripts[-1].splitlines() if line.startswith("#SBATCH")}
    assert flags >= {"nodes=2", "ntasks-per-node=1", "gpus-per-node=1"}
    node, state, tries, host, port = (bench.root / "helped-1").read_text().split()
    assert (node, state, tries, host) == ("1", "running", "2", socket.gethostname())
    assert 1024 < int(port) < 65536
    [run] = bench.root.glob("runs/train/*-*")
    assert Manifest.read(run).tries == 2
    logs = sorted(path.name for path in (bench.folder / "logs").iterdir())
    assert logs == [f"{rows[1].id}-node1.log", f"{rows[1].id}.log"]
    # Finished: the first node says so, and the other starts nothing.
    begun = len(bench.starts(1))
    code, _ = through_slurm(bench, [on_two_nodes(bench, 1, "wait=true", "force=false")])
    assert (code, len(bench.starts(1))) == (0, begun + 1)


def test_a_failure_on_one_node_ends_the_others_and_is_named(bench, slurm):  # noqa: F811
    code, rows = through_slurm(bench, [on_two_nodes(bench, 1, "wait=true", "breaks_on=1")])
    assert (code, rows[1].state) == (1, "failed")
    assert rows[1].error == f"node 1 ({socket.gethostname()}): RuntimeError: a broken machine"
    [run] = bench.root.glob("runs/train/*-*")
    assert not is_locked(run)
    assert "in _help" in (bench.folder / "logs" / f"{rows[1].id}-node1.log").read_text()


def test_several_nodes_without_slurm_are_refused(bench):
    with pytest.raises(UserError, match=r"trainer.num_nodes=2: only hydra.launcher.executor=slurm starts a job on sev"):
        bench.sweep([on_two_nodes(bench, 1)])


def test_lightning_starts_its_own_processes_in_a_job(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "cascade-exit-12345678")
    assert SLURMEnvironment.detect()
    for name, value in slurm_module._ONE_TASK.items():
        monkeypatch.setenv(name, value)
    assert not SLURMEnvironment.detect()


def test_what_sbatch_refuses_is_one_line(bench, slurm):  # noqa: F811
    (slurm.root / "refuses").touch()
    with pytest.raises(UserError, match=r"Slurm did not take job \w+: sbatch: error: invalid partition specified: gpu"):
        through_slurm(bench, [bench.job(1)])


def test_ctrl_c_takes_jobs_out_of_the_queue_and_ends_those_that_run(bench, slurm):  # noqa: F811
    jobs = [bench.job(1, "wait=true"), bench.job(2)]
    slurm.hold()

    def begin_the_first():
        slurm.wait_for(2)
        slurm.begin("1000")

    bench.when(then=begin_the_first)
    bench.when("working-1", then=lambda: os.kill(os.getpid(), signal.SIGINT))
    code, rows = through_slurm(bench, jobs, parallel=2)
    assert code == 128 + signal.SIGINT
    assert (rows[1].state, rows[2].state) == ("interrupted", "interrupted")
    assert sorted(slurm.cancelled) == ["1000", "1001"]
    assert Manifest.read(bench.root / rows[1].run).state == "interrupted"  # ended cleanly, not killed
    assert bench.starts(2) == []
    assert not list(slurm.root.glob("*.waits"))


def test_jobs_that_wait_in_the_queue_are_taken_up_again(bench, slurm):  # noqa: F811
    """As when the connection drops: the terminal closes, the jobs stay."""
    jobs = [bench.job(1), bench.job(2)]
    slurm.hold()

    def hang_up():
        slurm.wait_for(2)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGHUP)

    bench.when(then=hang_up)
    code, rows = through_slurm(bench, jobs, parallel=2)
    assert code == 128 + signal.SIGHUP
    assert (rows[1].state, rows[2].state, slurm.cancelled) == ("running", "running", [])

    # A job that is handed in again would run at once, and count as a second try.
    (slurm.root / "open").touch()
    bench.when(then=lambda: [slurm.begin("1000"), slurm.begin("1001")])
    code, rows = through_slurm(bench, jobs, parallel=2)
    assert code == 0
    assert [(rows[n].state, rows[n].tries, rows[n].submission) for n in (1, 2)] == [
        ("finished", 1, "slurm:1000"),
        ("finished", 1, "slurm:1001"),
    ]
    assert len(slurm.scripts) == 2
    assert "taken up again (slurm:1000)" in bench.said


def test_a_job_that_slurm_lost_has_failed_and_a_silent_controller_is_waited_for(bench, slurm):  # noqa: F811
    slurm.hold()

    def lose():
        slurm.wait_for(1)
        (slurm.root / "silent").touch()
        (slurm.root / "1000.waits").unlink()
        time.sleep(1.5)
        (slurm.root / "silent").unlink()

    bench.when(then=lose)
    begun = time.monotonic()
    code, rows = through_slurm(bench, [bench.job(1)])
    assert time.monotonic() - begun > 1.5
    assert (code, rows[1].state) == (1, "failed")
    assert "it left the cluster without a word" in rows[1].error


def test_a_job_whose_time_is_up_saves_and_goes_back_into_the_queue(bench, slurm):  # noqa: F811
    """Slurm's warning reaches the job's processes; submitit then asks Slurm to requeue the job."""
    (slurm.root / "scontrol").write_text(f"#!/bin/sh\necho $@ > {slurm.root}/requeued\n")
    (slurm.root / "scontrol").chmod(0o755)

    def warn_then_begin_again():
        slurm.signal("1000", signal.SIGUSR2)
        while not (slurm.root / "requeued").exists() or (slurm.root / "1000.runs").exists():
            (slurm.root / "1000.waits").touch()
            time.sleep(0.02)
        states.append(Manifest.read(next(bench.root.glob("runs/train/*/manifest.json")).parent).state)
        (bench.root / "go").touch()
        slurm.begin("1000")

    states = []
    bench.when("working-1", then=warn_then_begin_again)
    code, rows = through_slurm(bench, [bench.job(1, "wait=true")])
    assert (code, rows[1].state, rows[1].tries) == (0, "finished", 1)
    assert (slurm.root / "requeued").read_text().split() == ["requeue", "1000"]
    assert states == ["interrupted"]
    assert Manifest.read(bench.root / rows[1].run).tries == 2
