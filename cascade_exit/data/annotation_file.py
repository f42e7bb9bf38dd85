"""Opens a COCO annotation file, or says which other format it looks like."""

import json
import re
from pathlib import Path
from typing import Any

from cascade_exit.data.problems import suggestion
from cascade_exit.runs.errors import UserError

_EXPECTED = "expected a COCO JSON object with the lists 'images', 'annotations' and 'categories'"
_LISTS = ("images", "annotations", "categories")


def read_annotation_file(path: Path, without: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Reads a COCO annotation file as far as its lists of objects.

    Args:
        path: The file.
        without: Key that is dropped from every object while reading, to save memory.

    Returns:
        The lists ``images``, ``annotations`` and ``categories``, each of JSON objects, and ``licenses`` if there.

    Raises:
        UserError: The file is missing, is of another format, or lacks one of the lists.
    """
    content = _parse(path, _read_text(path), without)
    if isinstance(content, list):
        predictions = bool(content) and isinstance(content[0], dict) and "score" in content[0]
        what = "a list of predictions (COCO results)" if predictions else "a JSON list"
        raise UserError(f"{path}: is {what}, not a COCO annotation file: {_EXPECTED}")
    if not isinstance(content, dict):
        raise UserError(f"{path}: is a JSON {type(content).__name__}, not a COCO annotation file: {_EXPECTED}")
    for key in _LISTS:
        _check_list(path, content, key)
    licenses = content.get("licenses")
    return {key: content[key] for key in _LISTS} | ({"licenses": licenses} if isinstance(licenses, list) else {})


def _read_text(path: Path) -> str:
    if not path.is_file():
        here = sorted(file.name for file in path.parent.glob("*.json")) if path.parent.is_dir() else []
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path}: {what}, expected a COCO annotation file; {suggestion(path.name, here)}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text: {_EXPECTED}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): {_EXPECTED}") from error


def _parse(path: Path, text: str, without: str | None) -> Any:
    def drop(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop(str(without), None)
        return entry

    try:
        return json.loads(text, object_hook=drop if without else None)
    except (json.JSONDecodeError, RecursionError) as error:
        start = text.lstrip()[:2000]
        if not start:
            what = "is empty"
        elif start.startswith("<"):
            what = "is XML, as Pascal VOC uses"
        elif re.match(r"\d+( +-?\d*\.?\d+){4,}\s*$", start.splitlines()[0]):
            what = "is a table of numbers, as YOLO uses"
        elif start.startswith(("{", "[")):
            what = f"is broken JSON ({error})"
        else:
            what = "is not JSON"
        raise UserError(f"{path}: {what}: {_EXPECTED}") from error


def _check_list(path: Path, content: dict[str, Any], key: str) -> None:
    if key not in content:
        found = ", ".join(map(repr, list(content)[:8])) or "none"
        other = " (LabelMe?)" if "shapes" in content else ""
        raise UserError(f"{path}: has no {key!r}: {_EXPECTED}; its keys are {found}{other}")
    value = content[key]
    if not isinstance(value, list):
        raise UserError(f"{path}: {key!r} is a {type(value).__name__}, not a list: {_EXPECTED}")
    for position, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise UserError(f"{path}: {key}[{position}] is a {type(entry).__name__}, expected a JSON object")
