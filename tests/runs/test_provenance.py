"""Where a number comes from."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pytest
import torch

from cascade_exit.runs.provenance import (
    GitState,
    code_changed,
    git_state,
    package_versions,
    this_machine,
    utc_now,
)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    file = tmp_path / "cascade_exit" / "code.py"
    for path in (file, tmp_path / "conf" / "train.yaml", tmp_path / "docs" / "page.md"):
        path.parent.mkdir()
        path.write_text("1")
    commit(tmp_path)
    return file


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "x")


def test_git_state_names_the_commit_and_changes(source: Path) -> None:
    state = git_state(source)
    assert state is not None
    assert state.sha == git(source.parent, "rev-parse", "HEAD")
    assert not state.dirty
    (source.parent / "notes.txt").write_text("not tracked")
    assert git_state(source) == state
    page = source.parents[1] / "docs" / "page.md"
    page.write_text("2")
    assert git_state(source) == state
    source.write_text("2")
    changed = git_state(source)
    assert changed is not None
    assert changed.dirty


@pytest.mark.parametrize(
    ("file", "changes"), [("cascade_exit/code.py", True), ("conf/train.yaml", True), ("docs/page.md", False)]
)
def test_a_commit_changes_results_only_where_code_or_settings_lie(source: Path, file: str, changes: bool) -> None:
    before = git_state(source)
    (source.parents[1] / file).write_text("2")
    commit(source.parents[1])
    now = git_state(source)
    assert before
    assert now
    assert before.sha != now.sha
    assert code_changed(before, now, source) is changes
    assert not code_changed(now, now, source)
    assert code_changed(GitState("f" * 40, False), now, source)  # of a repository elsewhere


def test_a_file_that_git_does_not_track_has_no_state(source: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    installed = source.parent / "venv" / "module.py"
    installed.parent.mkdir()
    installed.write_text("")
    assert git_state(installed) is None
    assert git_state(tmp_path_factory.mktemp("plain") / "module.py") is None


def test_without_git_there_is_no_state(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(source) is None


def test_versions_are_those_of_the_imported_packages() -> None:
    versions = package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == numpy.__version__
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert all(versions.values())


def test_the_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cpu
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.memory_gib > 0.1
    assert len(machine.gpus) == torch.cuda.device_count()


def test_times_are_utc_and_sortable() -> None:
    stamp = datetime.fromisoformat(utc_now())
    assert stamp.utcoffset() is not None
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 5
