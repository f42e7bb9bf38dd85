"""One process per run, also when processes are killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.lock import hold_lock, is_locked

HOLDER = """
import os, sys, time
from pathlib import Path
from cascade_exit.runs.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    child = os.fork() if "fork" in sys.argv else 1
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def start_holder(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    return holder, int(holder.stdout.readline())


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process, _ = start_holder(tmp_path)
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_kept_out_and_told_by_whom(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_locked(tmp_path)
    with pytest.raises(UserError) as caught, hold_lock(tmp_path):
        pass
    assert f"process {holder.pid} on {socket.gethostname()}" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_killed_holder_lets_go(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_locked(tmp_path)
    with hold_lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_forked_worker_that_outlives_its_killed_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    process, worker = start_holder(tmp_path, "fork")
    try:
        process.kill()
        process.wait()
        os.kill(worker, 0)
        with hold_lock(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_worker_that_ends_does_not_free_the_lock_of_its_parent(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        worker = os.fork()
        if worker == 0:
            os._exit(0)
        os.waitpid(worker, 0)
        assert is_locked(tmp_path)


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold_lock(tmp_path):
        raise RuntimeError
    with hold_lock(tmp_path):
        pass


def test_a_folder_that_was_never_locked_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not (tmp_path / ".lock").exists()


def test_waiting_gets_the_lock_when_the_holder_is_done(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from cascade_exit.runs.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    while not Path(sys.argv[1], "told").exists():
        time.sleep(0.01)
    Path(sys.argv[1], "done").touch()
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        (tmp_path / "told").touch()

    with hold_lock(tmp_path, wait=True, tell=tell):
        assert (tmp_path / "done").exists()
    process.wait()
    (line,) = told
    assert f"{tmp_path} is in use by process {process.pid} on {socket.gethostname()}" in line
    assert line.endswith(": waiting until it ends")


def test_who_waits_for_nobody_is_told_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    with hold_lock(tmp_path, wait=True, tell=told.append):
        assert not told
