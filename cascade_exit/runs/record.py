"""A run's own record of its measurements: one flushed JSON line each, true even after a kill."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade_exit.runs.atomic import atomic_write_text
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.plain import plain


class Record:
    """An append-only file of JSON lines, such as ``metrics.jsonl``.

    Every row is on the disk before ``write`` returns. A process killed within a write leaves a torn last
    line: reading passes over it, and the next write cuts it off.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the record at ``path``; the file appears with the first row."""
        self.path = Path(path)
        self._may_be_torn = True

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; numbers that are not finite are left out.

        Raises:
            TypeError: When a value has no plain form; the message names the key.
        """
        line = json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._may_be_torn:
            self._cut_torn_line()
        self._may_be_torn = True  # until the whole line is there: the disk may be full
        with self.path.open("ab") as file:
            file.write(line.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        self._may_be_torn = False

    def read(self) -> list[dict[str, Any]]:
        """Give all whole rows in order; none when the file is not there.

        Raises:
            UserError: When a line other than a torn last one is not a JSON object.
        """
        return [self._parse(number, line) for number, line in enumerate(self._whole_lines(), start=1)]

    def truncate_after(self, key: str, value: int | float) -> None:
        """Cut the rows whose ``key`` is beyond ``value``, as when a run goes on from an earlier checkpoint.

        Rows without ``key`` stay.
        """
        rows = self.read()
        kept = [row for row in rows if row.get(key, value) <= value]
        if len(kept) < len(rows):
            atomic_write_text(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        return self.path.read_bytes().split(b"\n")[:-1]

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{self.path}, line {number} is not a JSON object: mend or remove the line")
        return row

    def _cut_torn_line(self) -> None:
        whole = sum(len(line) + 1 for line in self._whole_lines())
        if self.path.exists() and whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
