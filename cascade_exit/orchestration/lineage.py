"""What runs come from, what came of them, and which no longer say what would come out today."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from cascade_exit.runs import GitState, Manifest, UserError, code_changed, is_locked, list_runs
from cascade_exit.runtime.detector import BEST, model_fingerprint
from cascade_exit.runtime.kept_model import DESCRIPTION
from cascade_exit.trace import TRACE_NAME, check_version

RunState = Literal["running", "interrupted", "failed", "finished"]
_WEIGHTS = ("model", "baseline", "base", "init")  # under these names a manifest's data holds fingerprints of weights


@dataclass(frozen=True)
class KnownRun:
    """A run as it lies on the disk.

    Attributes:
        folder: where.
        manifest: its record.
        state: running where a living process has it open; what was killed is interrupted.
    """

    folder: Path
    manifest: Manifest
    state: RunState

    @classmethod
    def read(cls, folder: Path) -> "KnownRun":
        """Reads it.

        Raises:
            UserError: its manifest is missing or damaged.
        """
        manifest = Manifest.read(folder)
        if is_locked(folder):
            return cls(folder, manifest, "running")
        return cls(folder, manifest, "interrupted" if manifest.state == "running" else manifest.state)

    @property
    def id(self) -> str:
        """The run's 8 hexadecimal digits."""
        return self.manifest.id


class Lineage:
    """All runs below a folder.

    Attributes:
        git: state of the code now; None where git is absent.
        runs: by id, the one that ended or began last at the end.
        broken: a line for each manifest that cannot be read, and for each id that lies in several folders.
    """

    def __init__(self, root: Path, git: GitState | None) -> None:
        """Reads every manifest.

        Args:
            root: folder of all runs.
            git: state of the code now.
        """
        self.git = git
        self.runs: dict[str, KnownRun] = {}
        self.broken: list[str] = []
        for run in sorted(self._read(root), key=lambda run: _when(run.manifest)):
            if run.id in self.runs:
                self.broken.append(
                    f"run {run.id} lies in {self.runs[run.id].folder} and {run.folder}: keep one of them"
                )
            self.runs[run.id] = run

    def _read(self, root: Path) -> Iterator[KnownRun]:
        for folder in list_runs(root):
            try:
                yield KnownRun.read(folder)
            except UserError as error:
                self.broken.append(str(error))

    def children(self, of: str) -> list[KnownRun]:
        """Runs that start from a run (its id) or kept model (models/<name>), without those that lie deeper as well."""
        direct = [run for run in self.runs.values() if of in run.manifest.parents]
        return [run for run in direct if not any(self._comes_from(run.id, other.id) for other in direct)]

    def parents(self, run: KnownRun) -> list[str]:
        """Ids of what a run starts from, without those that lie deeper as well."""
        direct = list(dict.fromkeys(run.manifest.parents))
        return [one for one in direct if not any(self._comes_from(other, one) for other in direct)]

    def _comes_from(self, run: str, origin: str) -> bool:
        parents = self.runs[run].manifest.parents if run in self.runs else []
        return any(parent == origin or self._comes_from(parent, origin) for parent in parents)

    def why_stale(self, run: KnownRun) -> list[str]:
        """Why a finished run may no longer be what its command would give today; nothing where it still is.

        Args:
            run: one of `runs`, or another that was read.
        """
        if run.state != "finished":
            return []
        reasons = []
        if self._is_of_other_code(run):
            assert run.manifest.git is not None
            reasons.append(f"other code ({run.manifest.git.sha[:8]})")
        if (run.folder / TRACE_NAME).is_file():
            reasons += _why_unreadable(run.folder / TRACE_NAME)
        for parent in dict.fromkeys(run.manifest.parents):
            reasons += self._why_stale_by(run, parent)
        return reasons

    def _why_stale_by(self, run: KnownRun, parent: str) -> list[str]:
        known = self.runs.get(parent)
        folder = known.folder if known else Path(parent)
        if known is None and not (folder / DESCRIPTION).is_file():
            return [f"{parent} is gone"]
        if reason := changed_since(run.manifest, folder):
            return [reason]
        if known and len(self.why_stale(known)) > self._is_of_other_code(known):
            return [f"{known.manifest.verb} {parent} is stale"]
        return []

    def _is_of_other_code(self, run: KnownRun) -> bool:
        then = run.manifest.git
        return bool(then and self.git and code_changed(then, self.git))


def changed_since(child: Manifest, parent: Path) -> str | None:
    """Why a run would come out differently from its parent as it is now: the parent was run anew since.

    The child's record says when its parent was begun, and which weights it had. They are compared with what is there
    now, and no two moments with each other, since clocks are set back and differ between machines. A parent with the
    weights on record has not changed, whenever it was made.

    Args:
        child: of the run.
        parent: folder of the run, or kept model, that it starts from.

    Returns:
        A phrase for people; None where nothing has changed.

    Raises:
        UserError: the parent's manifest is missing or damaged.
    """
    kept = (parent / DESCRIPTION).is_file()
    manifest = None if kept else Manifest.read(parent)
    if manifest and child.made_from.get(manifest.id) == manifest.times.started:
        return None
    recorded = {
        value for name, value in child.data.items() if name in _WEIGHTS or name.startswith(("static ", "init "))
    }
    if (kept or (parent / BEST).is_file()) and recorded:
        try:
            if _weights(parent, _changed(parent / DESCRIPTION if kept else parent / BEST)) in recorded:
                return None
        except UserError as error:  # such as a kept model whose base is gone
            return str(error)
        name = f"{manifest.verb} {manifest.id}" if manifest else f"models/{parent.name}"
        return f"{name} has other weights now"
    known = manifest and manifest.id in child.made_from
    return f"{manifest.verb} {manifest.id} was run anew since" if manifest and known else None


def _why_unreadable(trace: Path) -> list[str]:
    try:
        check_version(trace)
    except UserError as error:
        return [str(error).removeprefix(f"{trace}: ")]
    return []


@cache
def _weights(folder: Path, _changed: float) -> str:
    return model_fingerprint(folder)


def _changed(file: Path) -> float:
    return file.stat().st_mtime


def _when(manifest: Manifest) -> str:
    return manifest.times.finished or manifest.times.started
