"""Opening, ending, continuing and redoing runs."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cascade_exit.runs import run as run_module
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.identity import not_identity
from cascade_exit.runs.lock import is_locked
from cascade_exit.runs.manifest import Manifest
from cascade_exit.runs.provenance import GitState
from cascade_exit.runs.run import Run, open_run


@dataclass(frozen=True)
class Config:
    seed: int = 0
    workers: int = not_identity(2)


WORKER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from cascade_exit.runs.identity import not_identity
from cascade_exit.runs.run import open_run

@dataclass(frozen=True)
class Config:
    seed: int = 0
    workers: int = not_identity(2)

with open_run("train", Config(), command="train", root=Path(sys.argv[1])) as run:
    (run.folder / "last.ckpt").write_text("step 7")
    (run.folder / ".tmp-1-best.ckpt").write_text("half")
    print(run.folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _unchanging_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "git_state", lambda: GitState("c" * 40, dirty=False))


def opened(root: Path, config: Config | None = None, **more: Any) -> Any:
    return open_run("train", config or Config(), command="cascade-exit train", root=root, **more)


def finish(root: Path, config: Config | None = None, **more: Any) -> Run:
    with opened(root, config, **more) as run:
        (run.folder / "weights").write_text("w")
        run.manifest.metrics["val/full/AP"] = 0.25
    assert isinstance(run, Run)
    return run


def start_worker(root: Path, code: str = WORKER) -> tuple[subprocess.Popen[str], Path]:
    worker = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    return worker, Path(worker.stdout.readline().strip())


def test_a_run_that_another_process_makes_is_waited_for_where_asked(tmp_path: Path) -> None:
    told_to_end = "while not Path(sys.argv[1], 'told').exists(): time.sleep(0.01)"
    worker, folder = start_worker(tmp_path, WORKER.replace("time.sleep(60)", told_to_end))
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        (tmp_path / "told").touch()

    with opened(tmp_path, wait=True, tell=tell) as run:
        assert run.finished
    assert run.folder == folder
    (line,) = told
    assert f"{folder} is in use by process {worker.pid} on " in line
    worker.wait()


def test_a_run_from_start_to_finish(tmp_path: Path) -> None:
    with opened(tmp_path, Config(3, workers=1), overrides=["seed=3"], data={"train": "f"}, parents=["p"]) as run:
        assert not run.finished
        assert not run.resumed
        assert run.folder == tmp_path / "train" / f"seed_3-{run.id}"
        assert is_locked(run.folder)
        during = Manifest.read(run.folder)
        assert during.state == "running"
        assert during.times.finished is None
        run.manifest.metrics["val/full/AP"] = 0.25
        time.sleep(0.05)
    after = Manifest.read(run.folder)
    assert not is_locked(run.folder)
    assert after.state == "finished"
    assert (after.config, after.identity) == ({"seed": 3, "workers": 1}, {"seed": 3})
    assert (after.data, after.parents, after.metrics) == ({"train": "f"}, ["p"], {"val/full/AP": 0.25})
    assert after.times.started <= str(after.times.finished)
    assert 0.05 <= after.times.seconds < 30


def test_nothing_is_made_for_a_config_that_cannot_identify(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed must be finite"), opened(tmp_path, Config(float("nan"))):  # type: ignore[arg-type]
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_shown_and_not_touched(tmp_path: Path) -> None:
    first = finish(tmp_path, overrides=["seed=0"])
    before = (first.folder / "manifest.json").read_bytes()
    with opened(tmp_path, Config(workers=8), overrides=["experiment=other"]) as again:
        assert again.finished
        assert not again.resumed
        assert again.folder == first.folder
        assert again.manifest.metrics == {"val/full/AP": 0.25}
        assert not is_locked(again.folder)
        again.save()
    assert (first.folder / "manifest.json").read_bytes() == before


def test_another_identity_is_another_run(tmp_path: Path) -> None:
    folders = {
        finish(tmp_path).folder,
        finish(tmp_path, Config(1)).folder,
        finish(tmp_path, data={"train": "f"}).folder,
        finish(tmp_path, parents=["p"]).folder,
    }
    assert len(folders) == 4


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (GitState("a" * 40, False), GitState("a" * 40, False), None),
        (GitState("a" * 40, False), GitState("b" * 40, False), "made at aaaaaaaa, now it is bbbbbbbb"),
        (GitState("a" * 40, True), GitState("a" * 40, False), "not committed"),
        (GitState("a" * 40, False), None, None),
    ],
)
def test_a_finished_run_warns_when_the_code_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: GitState, now: GitState | None, words: str | None
) -> None:
    monkeypatch.setattr(run_module, "git_state", lambda: then)
    finish(tmp_path)
    monkeypatch.setattr(run_module, "git_state", lambda: now)
    with opened(tmp_path) as again:
        assert [words in line for line in again.manifest.warnings if words] == ([True] if words else [])
        assert bool(again.manifest.warnings) == bool(words)


def test_force_clears_the_outputs_and_begins_anew(tmp_path: Path) -> None:
    first = finish(tmp_path)
    (first.folder / "checkpoints").mkdir()
    (first.folder / "checkpoints" / "last.ckpt").write_text("old")
    with opened(tmp_path, force=True) as again:
        assert not again.finished
        assert not again.resumed
        assert again.manifest.metrics == {}
        assert sorted(path.name for path in again.folder.iterdir()) == [".lock", "manifest.json"]
    assert again.folder == first.folder


def test_a_clearing_that_was_killed_is_finished_before_anything_else(tmp_path: Path) -> None:
    first = finish(tmp_path)
    (first.folder / ".clearing").touch()
    with opened(tmp_path) as again:
        assert not again.finished
        assert not again.resumed
        assert not (again.folder / "weights").exists()


def test_an_error_is_kept_and_the_run_is_continued(tmp_path: Path) -> None:
    def fail() -> None:
        with opened(tmp_path) as run:
            run.manifest.metrics["step"] = 7
            run.warn("w")
            run.warn("w")
            time.sleep(0.05)
            raise RuntimeError("out of memory\nmore")

    with pytest.raises(RuntimeError):
        fail()
    folder = next((tmp_path / "train").glob("default-*"))
    failed = Manifest.read(folder)
    assert (failed.state, failed.error) == ("failed", "RuntimeError: out of memory")
    assert failed.times.finished is not None
    assert not is_locked(folder)

    with opened(tmp_path) as run:
        assert run.resumed
        during = Manifest.read(folder)
        assert (during.state, during.error, during.tries) == ("running", None, 2)
        assert during.times.finished is None
        time.sleep(0.05)
    after = Manifest.read(folder)
    assert (after.state, after.metrics, after.warnings) == ("finished", {"step": 7}, ["w"])
    assert after.times.started == failed.times.started
    assert after.times.seconds >= failed.times.seconds + 0.05


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_leaving_early_is_an_interruption(tmp_path: Path, error: BaseException) -> None:
    def leave() -> None:
        with opened(tmp_path):
            raise error

    with pytest.raises(type(error)):
        leave()
    assert Manifest.read(next((tmp_path / "train").glob("default-*"))).state == "interrupted"


def test_sigterm_is_recorded_as_an_interruption(tmp_path: Path) -> None:
    worker, folder = start_worker(tmp_path)
    worker.terminate()
    assert worker.wait() == 128 + signal.SIGTERM
    assert Manifest.read(folder).state == "interrupted"


def test_a_second_sigterm_does_not_cut_off_what_the_first_one_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, heard_outside = Run.save, []
    before = signal.signal(signal.SIGTERM, lambda *_: heard_outside.append("SIGTERM"))

    def tell_again(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        save(run)

    def work() -> None:
        with opened(tmp_path):
            monkeypatch.setattr(Run, "save", tell_again)
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

    try:
        with pytest.raises(SystemExit):
            work()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard_outside == []
    assert Manifest.read(next((tmp_path / "train").glob("default-*"))).state == "interrupted"


def test_sigterm_is_handled_as_before_afterwards(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    finish(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_process_is_kept_out_and_a_killed_run_is_continued(tmp_path: Path) -> None:
    worker, folder = start_worker(tmp_path)
    with pytest.raises(UserError, match=f"process {worker.pid}"), opened(tmp_path, force=True):
        pass
    assert (folder / "last.ckpt").exists()

    worker.kill()
    worker.wait()
    assert Manifest.read(folder).state == "running"
    with opened(tmp_path) as run:
        assert run.resumed
        assert run.folder == folder
        assert (folder / "last.ckpt").read_text() == "step 7"
        assert not (folder / ".tmp-1-best.ckpt").exists()
    assert Manifest.read(folder).state == "finished"


def test_run_dir_overrides_the_place_and_refuses_another_run(tmp_path: Path) -> None:
    place = tmp_path / "here"
    first = finish(tmp_path / "runs", run_dir=place)
    assert first.folder == place
    assert not (tmp_path / "runs").exists()
    with opened(tmp_path, run_dir=place) as again:
        assert again.finished
    for force in (False, True):
        with pytest.raises(UserError, match=r"differs in seed \(5, there 0\)"):
            finish(tmp_path, Config(5), run_dir=place, force=force)
    with pytest.raises(UserError, match=r"differs in fingerprint"):
        finish(tmp_path, data={"train": "f"}, run_dir=place)
    assert (place / "weights").exists()


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".tmp-mine").touch()
    with pytest.raises(UserError, match="is not a run"):
        finish(tmp_path, run_dir=tmp_path, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "photo.jpg"]
    assert (tmp_path / "deep" / ".tmp-mine").exists()


def test_a_manifest_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    path = finish(tmp_path).folder / "manifest.json"
    content = json.loads(path.read_text())
    content["identity"]["seed"] = 4
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"differs in seed \(0, there 4\): its manifest was changed by hand"):
        finish(tmp_path)


def test_a_kill_before_the_first_manifest_leaves_a_run_that_can_begin(tmp_path: Path) -> None:
    folder = finish(tmp_path).folder
    for path in folder.iterdir():
        path.unlink()
    (folder / ".lock").touch()
    (folder / ".tmp-12345678-manifest.json").write_text("{")
    with opened(tmp_path) as run:
        assert not run.resumed
        assert not (folder / ".tmp-12345678-manifest.json").exists()


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "NODE_RANK"])
def test_further_processes_of_a_distributed_run_join_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with opened(tmp_path) as first:
        before = (first.folder / "manifest.json").read_bytes()
        monkeypatch.setenv(variable, "1")
        with opened(tmp_path, force=True) as second:
            assert second.folder == first.folder
            assert (second.finished, second.resumed) == (False, False)
            second.manifest.metrics["x"] = 1
            second.save()
        assert (first.folder / "manifest.json").read_bytes() == before
        monkeypatch.setenv(variable, "0")
    assert Manifest.read(first.folder).state == "finished"


def test_a_further_process_without_a_first_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="is not a run"), opened(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
