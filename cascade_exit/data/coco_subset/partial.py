"""A file that is being fetched: what has come so far, and of which version of the original."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade_exit.runs.atomic import TEMPORARY_PREFIX, move_into_place


class PartialFile:
    """The beginning of a file, under a temporary name beside its final one.

    A note beside it says which version of the original it is the beginning of. Bytes without a note that belongs to the
    same address are thrown away: they could be of another version.

    Args:
        final: Where the file will be when it is whole.
        url: Its address.
    """

    def __init__(self, final: Path, url: str) -> None:
        self.final, self.url = final, url
        self.path = final.with_name(f"{TEMPORARY_PREFIX}{final.name}.part")
        self._note_path = final.with_name(f"{TEMPORARY_PREFIX}{final.name}.part.json")
        self._note = self._read_note()
        if self._note is None:
            self.discard()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, if it was told."""
        return self._note["total"] if self._note else None

    @property
    def version(self) -> str | None:
        """What the server calls the version that the bytes are of: its ETag, or its date."""
        return self._note["version"] if self._note else None

    def request_headers(self) -> dict[str, str]:
        """Headers that ask for the rest if the version is still the same, and for all of it otherwise."""
        if self.version is None or not self.size:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.version}

    def restart(self, version: str | None, total: int | None) -> None:
        """Begins anew, with a version that the server has named or not."""
        self.discard()
        if version is not None:
            self._note = {"url": self.url, "version": version, "total": total}
            self._note_path.write_text(json.dumps(self._note), "utf-8")
        self.path.touch()

    def discard(self) -> None:
        """Forgets what has come."""
        self._note = None
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

    def settle(self) -> None:
        """Gives the file its name."""
        self._note_path.unlink(missing_ok=True)  # first: whoever finds the file whole looks for nothing beside it
        move_into_place(self.path, self.final)

    def _read_note(self) -> dict[str, Any] | None:
        # A killed process may leave a note of half a line.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self._note_path.read_text("utf-8"))
            if note["url"] == self.url:
                return {key: note[key] for key in ("url", "version", "total")}
        return None


def version_of(headers: Mapping[str, str]) -> str | None:
    """What a server calls the version that it sends, if that tells apart any two versions byte by byte (RFC 9110)."""
    tag = headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("Last-Modified")
