"""Where a run lies: ``runs/<verb>/<what differs>-<8 hex>/``, and how it is found again."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.manifest import MANIFEST_NAME

KEPT_MODELS = Path("models")
KEPT_MODEL_NAME = "model.json"
_LABEL_LENGTH = 60
_CHOICES = ("experiment", "run")


def run_label(overrides: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Make the human part of a folder's name from what was asked for on the command line.

    ``experiment=phase1_chair seed=2 trainer.devices=2`` becomes ``phase1_chair-seed_2``: overrides that do
    not decide the result are left out.

    Args:
        overrides: Command-line arguments ``key=value``, possibly with Hydra's leading ``+``.
        identity: The run's identity, whose dotted keys are those that decide the result.

    Returns:
        1 to 60 characters of ``A-Za-z0-9._-``; ``default`` when nothing differs.
    """
    pairs = [text.split("=", 1) for text in overrides if "=" in text]
    parts = [_label_part(key, value, identity) for key, value in pairs]
    label = "-".join(part for part in parts if part)[:_LABEL_LENGTH].strip("._-")
    return label or "default"


def locate_run(root: Path, verb: str, run_id: str, label: str) -> Path:
    """Give the folder of the run with this id: the one that is there, whatever its label, or the new one.

    Raises:
        UserError: When several folders carry the id.
    """
    there = sorted(path for path in (root / verb).glob(f"*-{run_id}") if path.is_dir())
    if len(there) > 1:
        raise UserError(f"run {run_id} lies in several folders: {_listed(there)}; keep one of them")
    return there[0] if there else root / verb / f"{label}-{run_id}"


def list_runs(root: Path) -> list[Path]:
    """Give the folders of all runs below ``root``, by verb and name."""
    return sorted(path.parent for path in root.glob(f"*/*/{MANIFEST_NAME}"))


def find_run(reference: str, root: Path) -> Path:
    """Find the run or kept model that the user means.

    Args:
        reference: A folder, a kept model as ``models/<name>``, or the first characters of a run's id or of
            its folder's name, as many as make it unique.
        root: The folder that holds ``<verb>/<run>``.

    Returns:
        The folder; it holds a manifest (run) or a model.json (kept model).

    Raises:
        UserError: When nothing or more than one run fits; the message lists candidates.
    """
    path = Path(reference).expanduser()
    if reference and path.is_dir():
        if _is_run(path):
            return path
        raise UserError(f"{path} is neither a run ({MANIFEST_NAME}) nor a kept model ({KEPT_MODEL_NAME})")
    runs = list_runs(root)
    fitting = [run for run in runs if reference and _fits(run, reference)]
    exact = [run for run in fitting if reference in (run.name, _id_of(run))]
    found = exact or fitting
    if not found:
        raise UserError(_not_found_message(reference, root, runs))
    if len(found) > 1:
        raise UserError(f"run {reference!r} is ambiguous: {_listed(found)}; give more of the id, or the path")
    return found[0]


def _label_part(key: str, value: str, identity: Mapping[str, Any]) -> str:
    key = key.lstrip("+~").split("@")[0]
    name = key.rsplit(".", 1)[-1].rsplit("/", 1)[-1]
    if key not in _CHOICES and not _decides(key, identity):
        return ""
    text = value if key == "experiment" else f"{name}_{value}"
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-")


def _decides(key: str, identity: Any) -> bool:
    for part in re.split(r"[./]", key):
        if not isinstance(identity, Mapping) or part not in identity:
            return False
        identity = identity[part]
    return True


def _is_run(path: Path) -> bool:
    return (path / MANIFEST_NAME).is_file() or (path / KEPT_MODEL_NAME).is_file()


def _id_of(run: Path) -> str:
    return run.name.rsplit("-", 1)[-1]


def _fits(run: Path, reference: str) -> bool:
    return run.name.startswith(reference) or _id_of(run).startswith(reference)


def _not_found_message(reference: str, root: Path, runs: Sequence[Path]) -> str:
    kept = [path.parent.as_posix() for path in sorted(KEPT_MODELS.glob(f"*/{KEPT_MODEL_NAME}"))]
    names = [run.name for run in runs] + [_id_of(run) for run in runs] + kept
    close = difflib.get_close_matches(reference, names, n=3, cutoff=0.5)
    message = f"run {reference!r} is no folder and no run under {root} is called so"
    if close:
        return f"{message}; did you mean {' or '.join(close)}?"
    if runs or kept:
        return f"{message}; there are: {', '.join(([run.name for run in runs] + kept)[:10])}"
    return f"{message}; there are no runs yet"


def _listed(paths: Sequence[Path]) -> str:
    shown = ", ".join(str(path) for path in paths[:10])
    return shown if len(paths) <= 10 else f"{shown} and {len(paths) - 10} more"
