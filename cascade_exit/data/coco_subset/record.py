"""What ``build.json`` says of the folder of a set that is made from COCO."""

import json
from pathlib import Path
from typing import Any

from cascade_exit.data.coco_subset.config import SubsetConfig
from cascade_exit.runs.atomic import TEMPORARY_PREFIX
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.identity import first_differences, identity_of
from cascade_exit.runs.lock import LOCK_NAME

RECORD = "build.json"
VERSION = 1
"""Changes whenever the same settings would choose other images or give them other roles."""


def is_finished(root: Path, config: SubsetConfig) -> bool:
    """Says whether the set is there already, with its images where they are wanted.

    Raises:
        UserError: The folder holds something else, or a set of other settings.
    """
    record = read_record(root)
    if record is None or record["chosen"] is None:  # never chosen: other settings may have the folder
        return False
    if record["version"] != VERSION:
        raise UserError(
            f"{root}: was chosen by version {record['version']} of the rules, this is {VERSION}; remove the folder or"
            " choose another with data.root=FOLDER"
        )
    differing = first_differences(identity_of(config), record["settings"])
    if differing:
        raise UserError(
            f"{root}: holds a set of other settings: {', '.join(differing)}; remove the folder or choose another with"
            " data.root=FOLDER"
        )
    return bool(record["finished"]) and record["images"] == str(config.images)


def read_record(root: Path) -> dict[str, Any] | None:
    """The record of a folder, None if there is none yet.

    Raises:
        UserError: The folder holds something else.
    """
    path = root / RECORD
    # Before the record is looked for: another process that makes the set right now writes the record first.
    held = [entry.name for entry in root.iterdir()] if root.is_dir() else []
    if not path.exists():
        _require_free(root, held)
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        return {key: record[key] for key in ("version", "settings", "images", "chosen", "finished")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: does not describe a set made from COCO; remove it or choose another folder"
        ) from error


def _require_free(root: Path, held: list[str]) -> None:
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: expected a folder for a set made from COCO, found a file")
    if not {"train2017", "val2017"}.isdisjoint(held):
        raise UserError(
            f"data.root={root}: is a folder of COCO's own; give it as data.subset.coco_root={root} to use it in place,"
            " and leave data.root to the annotation files of the set"
        )
    if any(name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX) for name in held):
        raise UserError(f"{root}: holds files but no {RECORD}; choose an empty folder with data.root=FOLDER")
