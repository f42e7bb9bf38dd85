"""The pipelines that are shipped, composed by the command line; and one that is carried through."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cascade_exit.data.rooms import RoleCounts, RoomsConfig, generate_rooms
from cascade_exit.policies import read_policy
from cascade_exit.runs import Manifest, find_run
from tests.conftest import REPOSITORY, start


@pytest.mark.parametrize("name", ["chair_all", "rooms_all"])
def test_dry_run_leaves_nothing(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    answer = cli("pipeline", f"pipeline={name}", "data.root=photos", "init=weights.pt", "dry_run=true")
    assert answer.code == 0, answer.err
    assert "6 of 6 phases would run" in answer.err
    assert "depends on cascade and static, which would run" in answer.err
    assert answer.out.startswith(f"runs/pipeline/pipeline_{name}-")
    assert not any(tmp_path.iterdir())


def test_what_is_wrong_is_one_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, line in {
        (): "pipeline: must be given, such as pipeline=chair_all",
        ("pipeline=chair_al",): "pipeline=chair_al: no such choice (did you mean 'chair_all'?)",
        ("pipeline=chair_all", "-m", "seed=1,2"): "pipeline: takes no -m",
        ("pipeline=chair_all", "trainer.max_epoch=3"): "trainer.max_epoch: unknown key (did you mean 'trainer.max_ep",
        (
            "pipeline=chair_all",
            "init=weights.pt",
            "cascade.model.exits.exit1.channels=60",
        ): "phase cascade: model.exits.exit1: channels",
    }.items():
        answer = cli("pipeline", *words)
        assert answer.code == 2
        assert len(answer.errors) == 1
        assert answer.errors[0].startswith(line)
    assert not any(tmp_path.iterdir())


def test_kept_models_stand_for_the_phases_that_made_them(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    words = ["pipeline", "pipeline=chair_all", "init=weights.pt", f"runs_root={tmp_path}", "dry_run=true"]
    answer = cli(*words, "start_from=models/chair")
    assert answer.code == 1
    assert answer.errors == [
        "start_from: phase tune takes the run of static, which is not there yet: name one as well, with "
        "'start_from={cascade: models/chair, static: RUN}', or run the pipeline without start_from"
    ]
    answer = cli(*words, "start_from={cascade: models/chair, static: models/static_chair}")
    assert answer.code == 0, answer.err
    assert "4 of 6 phases would run" in answer.err
    assert answer.err.count("given by start_from") == 2


def manifests(runs: Path) -> dict[str, Manifest]:
    found = [
        Manifest.read(path.parent) for path in runs.glob("*/*/manifest.json") if path.parent.parent.name != "pipeline"
    ]
    return {manifest.id: manifest for manifest in found}


@pytest.mark.slow
def test_killed_with_9_then_carried_through_then_tuned_anew(tmp_path, rooms):
    runs = tmp_path / "runs"
    words = ["pipeline", "pipeline=rooms_all", *rooms, f"runs_root={runs}", "trainer.progress=false"]
    process = start(*words)
    while not list(runs.glob("train/*/checkpoints/*.ckpt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    log = next(runs.glob("pipeline/*/phases/logs/*.log"))
    child = json.loads(next(runs.glob("train/*/.lock")).read_text())["pid"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    subprocess.run(["kill", "-9", str(child)], check=True)
    assert log.exists()

    out, err = (process := start(*words)).communicate(timeout=600)
    assert process.returncode == 0, err
    record = Manifest.read(Path(out.strip().splitlines()[-1]))
    phases, before = record.metrics["phases"], manifests(runs)
    assert (record.state, record.tries) == ("finished", 2)
    assert list(phases) == ["static", "cascade", "trace", "tune", "evaluate", "report"]
    assert [before[phases[name]].tries for name in phases] == [2, 1, 1, 1, 1, 1]
    assert before[phases["cascade"]].parents == [phases["static"]]
    assert {phases["cascade"], phases["trace"], phases["static"]} == set(before[phases["tune"]].parents)
    assert {phases["cascade"], phases["static"], phases["tune"]} <= set(before[phases["evaluate"]].parents)
    assert (runs / "report").is_dir()

    out, err = (process := start(*words, "tune.quantiles=3")).communicate(timeout=600)
    assert process.returncode == 0, err
    now = manifests(runs)
    assert {name: now[name] for name in before} == before
    assert sorted(now[name].verb for name in now.keys() - before.keys()) == ["evaluate", "report", "tune"]


@pytest.mark.slow
def test_chair_all_on_a_folder_laid_out_as_its_photos(tmp_path):
    """Rooms in place of photos, few epochs and images: every phase that is shipped goes through once."""
    data, runs = tmp_path / "photos", tmp_path / "runs"
    generate_rooms(data, RoomsConfig(images=RoleCounts(train=80, val=1, calibrate=1, test=12)))
    (data / "annotations" / "train.json").rename(data / "annotations" / "chair_train.json")
    (data / "annotations" / "test.json").rename(data / "annotations" / "chair_val.json")
    words = ["pipeline", "pipeline=chair_all", f"data.root={data}", f"init={REPOSITORY}/models/static_chair"]
    words += [
        "model.input.size_px=160",
        "trainer.max_epochs=1",
        "trainer.progress=false",
        "trainer.limit_train_batches=2",
    ]
    words += ["tune.quantiles=4", "evaluate.bootstrap=50", "evaluate.latency_images=4", f"runs_root={runs}"]
    words += ["trainer.progress=false"]
    out, err = (process := start(*words)).communicate(timeout=900)
    assert process.returncode == 0, err
    record = Manifest.read(Path(out.strip().splitlines()[-1]))
    phases, made = record.metrics["phases"], manifests(runs)
    assert list(phases) == ["static", "cascade", "trace", "tune", "evaluate", "report"]
    assert {made[run].state for run in phases.values()} == {"finished"}
    for name, experiment in (("static", "static_chair"), ("cascade", "phase1_chair")):
        assert f"experiment={experiment}" in made[phases[name]].command
    figures = json.loads((find_run(phases["evaluate"], runs) / "metrics.json").read_text())
    assert figures["images"] == 12
    assert figures["baseline"]["run"] == phases["static"]
    assert {"AP", "exit_rates", "speedup_macs", "speedup_latency"} <= figures["policy"].keys()
    policy = find_run(phases["tune"], runs) / "policy.json"
    assert read_policy(policy).model == made[phases["tune"]].data["model"]
    assert (find_run(phases["report"], runs) / "report.html").stat().st_size > 1_000_000
