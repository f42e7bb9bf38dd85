"""Atomic files, as another process sees them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_exit.runs.atomic import (
    atomic_path,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    remove_leftovers,
)

KILLED_WRITER = """
import os, signal, sys
from cascade_exit.runs.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half of the new on")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a" / "b.txt", "größer")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "größer".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    atomic_write_bytes(target, b"old")

    def fail_halfway() -> None:
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == target.suffix
            temporary.write_bytes(b"half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        fail_halfway()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.safetensors"]


def test_the_old_file_stands_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        reader = target.open()
    with reader:
        assert reader.read() == "old", "a reader that began before must see the old file to its end"
    assert target.read_text() == "new"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.json"):
        pass
    assert names(tmp_path) == []


def test_a_killed_writer_leaves_the_old_file_and_a_leftover_that_can_be_removed(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "metrics.json"
    atomic_write_text(target, "old")
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(names(target.parent)) == 2
    remove_leftovers(tmp_path)
    assert names(target.parent) == ["metrics.json"]


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "ours", "")
    (tmp_path / "usual").write_text("")
    assert os.stat(tmp_path / "ours").st_mode == os.stat(tmp_path / "usual").st_mode


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    atomic_write_json(target, {"AP": 0.25})
    with pytest.raises(TypeError, match=r"exits\.full is of type object"):
        atomic_write_json(target, {"exits": {"full": object()}})
    assert json.loads(target.read_text()) == {"AP": 0.25}
