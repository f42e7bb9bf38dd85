"""Files that are either wholly there or not there at all."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cascade_exit.runs.plain import plain

TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move it into place when the block succeeds.

    The folder is created when missing. The temporary name keeps the suffix of ``path``, for writers that
    choose their format by it. A block that raises, or that writes nothing, leaves ``path`` as it was.

    Args:
        path: The file to write.

    Yields:
        The path to write to; it does not exist yet.

    Raises:
        FileNotFoundError: When the block ended without writing the file.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}-{final.name}")
    try:
        yield temporary
        move_into_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, final: Path) -> None:
    """Give a file that is written to the end its name, so that it outlives a loss of power from here on."""
    _flush_to_disk(temporary)
    os.replace(temporary, final)
    _flush_to_disk(final.parent)


def atomic_write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` at once: readers see the old file or the new one, never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` at once."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON to ``path`` at once.

    ``content`` goes through ``plain`` first: dataclasses, paths and scalars of numpy and torch are written
    as plain values, and numbers that are not finite are left out.

    Raises:
        TypeError: When ``content`` holds a value that has no plain form; the message names the dotted key.
    """
    atomic_write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left anywhere below ``folder``."""
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
