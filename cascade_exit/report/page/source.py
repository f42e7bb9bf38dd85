"""What a run or kept model has on disk, read as it stands: what is absent stays absent."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade_exit.data import ROLES
from cascade_exit.policies import Policy, read_policy
from cascade_exit.runs import Manifest, Record, UserError, is_locked, plain
from cascade_exit.runtime.detector import model_id
from cascade_exit.runtime.kept_model import DESCRIPTION, is_kept
from cascade_exit.runtime.loading import POLICY

KEPT, SEED = "kept model", "seed"
_SETTINGS = ("model", "classes", "decoding")
_SHOWN: tuple[str, ...] = ("id", "state", "command", "config", "data", "parents", "provenance", "warnings", "error")
_SHOWN += ("metrics", "epochs", "tuning", "policy", "stops")
_PLACE = ("runs_root", "run_dir", "force")


@dataclass(frozen=True)
class ReportedRun:
    """A run, or a kept model, as the page shows it.

    Attributes:
        folder: where it lies.
        id: eight digits, or models/<name>.
        verb: train, tune, …, or `kept model`.
        state: as in the manifest; `running` only while a process has the run open, else `killed`.
        command: that made it.
        config: its settings, without where runs go.
        identity: those of them that decide the result.
        data: fingerprints of its inputs, by name.
        parents: ids of what it starts from.
        provenance: git, machine, versions, times, tries, as plain values.
        metrics: metrics.json, or the figures of a kept model.
        epochs: rows of its own record of training.
        tuning: tuning.json.
        policy: figures that tuning expects of its policy.
        stops: policy.json.
        pictures: PNG files, those that show photos first.
        warnings: lines that belong beside the result.
        error: that ended it.
    """

    folder: Path
    id: str
    verb: str
    state: str
    command: str
    config: Mapping[str, Any]
    identity: Mapping[str, Any]
    data: Mapping[str, str]
    parents: tuple[str, ...]
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    stops: Policy | None = None
    pictures: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether its figures are final."""
        return self.state == "finished"

    @property
    def figures(self) -> Mapping[str, Any]:
        """Its figures by their paths in metrics.json; of tuning, those of the policy on the images tuned on."""
        return self.metrics if "policy" in self.metrics or not self.policy else {**self.metrics, "policy": self.policy}

    @property
    def role(self) -> str | None:
        """Whose images its figures were measured on; of a kept model they are those of an evaluation."""
        fixed = {"train": "val", "tune": "calibrate", KEPT: "test"}
        role = fixed.get(self.verb) or self.config.get("role") or self.config.get("split")
        return role if role in ROLES else None

    @property
    def measured_on(self) -> str | None:
        """Fingerprint of the set that its figures were measured on."""
        found = self.metrics.get("data", {}).get("fingerprint") or self.data.get(self.role or "")
        return str(found) if found else None

    def fingerprint(self) -> str:
        """16 digits over everything that the page shows of it."""
        shown = {name: plain(getattr(self, name)) for name in _SHOWN}
        shown["pictures"] = " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in self.pictures)
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def experiment_of(command: str) -> str | None:
    """The experiment that a command names."""
    found = re.search(r"(?:^|\s)experiment=(\S+)", command)
    return found[1] if found else None


def read_reported(folder: Path) -> ReportedRun:
    """Reads a run or a kept model.

    Raises:
        UserError: a file is damaged.
    """
    return _kept_model(folder) if is_kept(folder) else _run(folder)


def _run(folder: Path) -> ReportedRun:
    manifest = Manifest.read(folder)
    state: str = manifest.state
    if state == "running" and not is_locked(folder):
        state = "killed"
    provenance = {key: plain(getattr(manifest, key)) for key in ("git", "machine", "versions", "times", "tries")}
    return ReportedRun(
        folder=folder,
        id=manifest.id,
        verb=manifest.verb,
        state=state,
        command=manifest.command,
        config={key: value for key, value in manifest.config.items() if key not in _PLACE},
        identity=manifest.identity,
        data=manifest.data,
        parents=tuple(manifest.parents),
        provenance=provenance,
        metrics=_json(folder / "metrics.json"),
        epochs=tuple(Record(folder / "metrics.jsonl").read()),
        tuning=_json(folder / "tuning.json"),
        policy=manifest.metrics.get("policy", {}),
        stops=_policy(folder),
        pictures=_pictures(folder / "figures"),
        warnings=tuple(manifest.warnings),
        error=manifest.error,
    )


def _kept_model(folder: Path) -> ReportedRun:
    description = _json(folder / DESCRIPTION)
    made = description.get("provenance", {})
    figures = description.get("figures", {})
    settings: dict[str, Any] = {key: description[key] for key in _SETTINGS if key in description}
    return ReportedRun(
        folder=folder,
        id=model_id(folder),
        verb=KEPT,
        state="finished",
        command=made.get("command", ""),
        config=settings,
        identity=settings,
        data=made.get("data", {}),
        parents=tuple(str(run) for run in (made.get("run"), figures.get("run")) if run),
        provenance={key: made[key] for key in ("git", "versions") if key in made},
        metrics=figures,
        policy=figures.get("policy", {}),
        stops=_policy(folder),
    )


def _policy(folder: Path) -> Policy | None:
    return read_policy(folder / POLICY) if (folder / POLICY).is_file() else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error}); run the verb again with force=true") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; run the verb again with force=true")
    return content


_PHOTOS, _DRAWN_ANEW = ("exits", "leaving", "mistakes"), "trade_off"


def _pictures(figures: Path) -> tuple[Path, ...]:
    """Of the run itself, and of its last epoch; grids of photos before diagrams."""
    epochs = sorted(figures.glob("epoch_*"))
    found = [*figures.glob("*.png"), *(epochs[-1].glob("*.png") if epochs else ())]
    found = [path for path in found if path.stem != _DRAWN_ANEW]
    return tuple(sorted(found, key=lambda path: (path.stem not in _PHOTOS, path.name)))
