"""What a sweep is made of: jobs, each a command line."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade_exit.config import RunPlace
from cascade_exit.runs import identity_of, plain


@dataclass(frozen=True)
class Job:
    """One command line of a sweep.

    Attributes:
        verb: such as train.
        overrides: its key=value words.
        config: the validated settings that they make, plain.
        identity: the part of them that decides the result.
    """

    verb: str
    overrides: tuple[str, ...]
    config: Mapping[str, Any] = field(repr=False)
    identity: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, verb: str, overrides: Sequence[str], config: RunPlace) -> "Job":
        """A job from its validated settings."""
        return cls(verb, tuple(overrides), plain(config), plain(identity_of(config)))

    @cached_property
    def id(self) -> str:
        """8 hexadecimal digits over the verb and the overrides, in whatever order they were given."""
        return _digest([self.verb, *sorted(self.overrides)])

    @property
    def runs(self) -> Path:
        """The folder in which runs of this verb lie."""
        return Path(self.config["runs_root"]) / self.verb

    @property
    def epochs(self) -> int | None:
        """How many epochs it trains; None for a verb that trains nothing."""
        epochs: int | None = self.config.get("trainer", {}).get("max_epochs")
        return epochs

    @property
    def nodes(self) -> int:
        """How many machines do it together."""
        return int(self.config.get("trainer", {}).get("num_nodes", 1))


def sweep_id(jobs: Sequence[Job]) -> str:
    """8 hexadecimal digits over the set of jobs: the same command finds its ledger again."""
    return _digest(sorted(job.id for job in jobs))


def labels(jobs: Sequence[Job]) -> dict[str, str]:
    """By id, the words in which a job differs from the others; all its words where there are no others."""
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return {job.id: " ".join(word for word in job.overrides if word not in common) or "no overrides" for job in jobs}


def command_of(job: Job) -> list[str]:
    """The command line that does a job."""
    # The app's own module, not the console command: Lightning starts the further processes of a distributed run with
    # the module's name and the words behind it, among which a verb would be one too many.
    return [sys.executable, "-m", f"cascade_exit.apps.{job.verb}", *job.overrides]


def _digest(words: list[str]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:8]
