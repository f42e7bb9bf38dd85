"""The record that every run keeps of itself: ``manifest.json``."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from cascade_exit.runs.atomic import atomic_write_json
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.provenance import GitState, Machine

MANIFEST_NAME = "manifest.json"
State = Literal["running", "finished", "failed", "interrupted"]


@dataclass
class Times:
    """When a run first started and last ended (ISO 8601, UTC), and its seconds of work over all tries."""

    started: str
    finished: str | None = None
    seconds: float = 0.0


@dataclass
class Manifest:
    """What a run is, how it came about and how it went.

    Attributes:
        verb: What was asked for, such as ``train``.
        id: 8 hexadecimal digits over all that identifies the run.
        state: ``running`` also stands in the manifest of a run that was killed.
        command: The command line of the last try.
        config: The resolved config, identifying or not.
        identity: The part of the config that decides the result.
        data: Fingerprint of each data set, by name.
        parents: Ids of the runs that this one starts from.
        made_from: When each parent was begun that lies among the same runs (``times.started``), by id; another
            moment there now says that the parent was run anew since.
        git: State of the code; None where git is absent.
        versions: Versions of Python and packages.
        machine: What the last try ran on.
        times: Start, end and seconds of work.
        tries: How often the run was started or continued.
        metrics: Figures, by path such as ``val/full/AP``; a missing measurement is absent.
        warnings: Lines the user should see beside the result.
        error: The line that ended a failed run.
    """

    verb: str
    id: str
    state: State
    command: str
    config: dict[str, Any]
    identity: dict[str, Any]
    data: dict[str, str]
    parents: list[str]
    git: GitState | None
    versions: dict[str, str]
    machine: Machine
    times: Times
    made_from: dict[str, str] = field(default_factory=dict)
    tries: int = 1
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder`` at once."""
        atomic_write_json(folder / MANIFEST_NAME, self)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read ``manifest.json`` from ``folder``.

        Raises:
            UserError: When the file is missing, is not JSON or lacks what a manifest holds.
        """
        path = folder / MANIFEST_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls._from_dict(content)
        except FileNotFoundError:
            raise UserError(f"{folder} is not a run: it has no {MANIFEST_NAME}") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{path} cannot be read as a manifest ({error}): restore it, or remove the folder {folder}"
            ) from error

    @classmethod
    def _from_dict(cls, content: dict[str, Any]) -> "Manifest":
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(content.keys() - known):
            raise ValueError(f"unknown keys {', '.join(unknown)}")
        if content["state"] not in get_args(State):
            raise ValueError(f"state {content['state']!r} is none of {', '.join(get_args(State))}")
        machine = content["machine"] | {"gpus": tuple(content["machine"]["gpus"])}
        git = None if content["git"] is None else GitState(**content["git"])
        parts = {"git": git, "machine": Machine(**machine), "times": Times(**content["times"])}
        return cls(**(content | parts))
