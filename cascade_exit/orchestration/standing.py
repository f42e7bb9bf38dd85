"""How a job stands before it is started: its run's manifest and lock say, wherever the run came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cascade_exit.orchestration.job import Job
from cascade_exit.orchestration.ledger import LedgerRow
from cascade_exit.runs import Manifest, UserError, is_locked
from cascade_exit.runs.lock import LOCK_NAME
from cascade_exit.runs.manifest import MANIFEST_NAME

_PLACE = ("runs_root", "run_dir", "force")


@dataclass(frozen=True)
class Standing:
    """Whether a job must run.

    Attributes:
        state: finished; running in a process that this sweep did not start; or due.
        why: a phrase for people.
        run: its run folder, where one is known.
        manifest: of that run, where it can be read.
    """

    state: Literal["finished", "running", "due"]
    why: str
    run: Path | None = None
    manifest: Manifest | None = None


def job_standing(job: Job, row: LedgerRow | None) -> Standing:
    """How a job stands, without starting a process.

    The run is the one that the ledger names, as long as it was made with the settings that the job has now, or else
    one that was made with exactly these settings by other means. The set that it was trained on is not read again.

    Args:
        job: the job.
        row: its last row in the ledger.
    """
    why = "never run"
    if row and row.run:
        manifest = _manifest(Path(row.run))
        if manifest and manifest.identity == job.identity:
            return _of_run(job, Path(row.run), manifest)
        why = "its run is gone or damaged" if manifest is None else "its settings have changed since it ran"
    elif row and row.state == "failed":
        why = f"failed: {row.error}"
    elif row:
        why = "was interrupted before its run began"
    for folder in _folders(job):
        manifest = _manifest(folder)
        if manifest and manifest.verb == job.verb and _settings(manifest.config) == _settings(job.config):
            return _of_run(job, folder, manifest)
    return Standing("due", why)


def run_held_by(job: Job, holder: tuple[str, int]) -> Path | None:
    """The run that a living process of this job holds open: its lock names machine and process."""
    for folder in _folders(job):
        try:
            named = json.loads((folder / LOCK_NAME).read_text())
            if (named["host"], named["pid"]) == holder and (folder / MANIFEST_NAME).exists():
                return folder
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def ap_of_exits(metrics: Mapping[str, Any]) -> dict[str, float]:
    """`full/AP` and the like from a manifest's metrics."""
    exits = metrics.get("exits", {})
    return {f"{name}/AP": figures["AP"] for name, figures in exits.items() if "AP" in figures}


def _of_run(job: Job, folder: Path, manifest: Manifest) -> Standing:
    if is_locked(folder):
        return Standing("running", "its run is open in another process", folder, manifest)
    if job.config["force"]:
        return Standing("due", "force=true", folder, manifest)
    if manifest.state == "finished":
        return Standing("finished", "finished", folder, manifest)
    if manifest.state == "failed":
        return Standing("due", f"failed: {manifest.error}", folder, manifest)
    return Standing("due", "was interrupted", folder, manifest)


def _folders(job: Job) -> list[Path]:
    if job.config["run_dir"]:
        return [Path(job.config["run_dir"])]
    return sorted(path.parent for path in job.runs.glob(f"*/{MANIFEST_NAME}"))


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.read(folder)
    except UserError:
        return None


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _PLACE}
