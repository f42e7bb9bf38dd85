"""One process per run: a lock that the operating system lets go of when its holder dies."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.provenance import utc_now

LOCK_NAME = ".lock"
_PATIENCE_SECONDS = 0.5

_held: set[IO[str]] = set()


@contextmanager
def hold_lock(folder: Path, wait: bool = False, tell: Callable[[str], object] | None = None) -> Iterator[None]:
    """Keep other processes out of ``folder`` while the block runs.

    The lock is ``flock`` on ``<folder>/.lock``; the file names its holder and stays behind, unlocked.

    Args:
        folder: An existing folder.
        wait: Wait until another process that holds the lock is done.
        tell: Is given one line for people before a wait that is longer than an instant.

    Raises:
        UserError: When another process holds the lock and is not waited for; the message names its pid and host.
    """
    file = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    try:
        if not _try_lock(file):
            taken = f"{folder} is in use by {_holder(file)}"
            if not wait:
                raise UserError(f"{taken}: wait until it ends, or end it and give the command again")
            if tell:
                tell(f"{taken}: waiting until it ends")
            fcntl.flock(file, fcntl.LOCK_EX)
        _held.add(file)
        _name_holder(file)
        yield
    finally:
        _held.discard(file)
        file.close()


def is_locked(folder: Path) -> bool:
    """Tell whether a living process holds the lock of ``folder``."""
    try:
        file = (folder / LOCK_NAME).open("r", encoding="utf-8")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _try_lock(file: IO[str]) -> bool:
    """Lock ``file``; a short patience lets ``is_locked`` look in another process without disturbing this."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)


def _name_holder(file: IO[str]) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": utc_now(),
    }
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder: dict[str, Any] = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _close_in_forked_child() -> None:
    # A forked data worker shares the lock of its parent and would keep it alive after the parent is killed.
    for file in _held:
        os.close(file.fileno())
    _held.clear()


os.register_at_fork(after_in_child=_close_in_forked_child)
