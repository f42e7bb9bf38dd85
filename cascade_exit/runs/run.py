"""Opening a run: its folder, its lock, its manifest, and the state in which it ends."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cascade_exit.runs.atomic import TEMPORARY_PREFIX, remove_leftovers
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.folder import locate_run, run_label
from cascade_exit.runs.identity import first_differences, identity_hash, identity_of
from cascade_exit.runs.lock import LOCK_NAME, hold_lock
from cascade_exit.runs.manifest import MANIFEST_NAME, Manifest, Times
from cascade_exit.runs.opened import tell_opened
from cascade_exit.runs.plain import plain
from cascade_exit.runs.provenance import GitState, code_changed, git_state, package_versions, this_machine, utc_now
from cascade_exit.runs.signals import sigterm_as_exit

_CLEARING_NAME = ".clearing"
_RANK_VARIABLES = ("LOCAL_RANK", "RANK", "NODE_RANK")


class Run:
    """An open run.

    Attributes:
        folder: Where the run keeps its outputs.
        manifest: Its record; set ``manifest.metrics`` and call ``save``.
        finished: The run was finished before: show its manifest and do nothing.
        resumed: The run was begun before and did not finish: go on from its last checkpoint.
        writes: This process keeps the run's record; not for a finished run, nor in processes other than the first.
    """

    def __init__(self, folder: Path, manifest: Manifest, writes: bool) -> None:
        """Wrap what ``open_run`` found or made.

        Args:
            folder: Where the run lies.
            manifest: Its record, of this try unless finished.
            writes: Whether ``save`` writes; not for a finished run, nor in processes other than the first.
        """
        self.folder = folder
        self.manifest = manifest
        self.finished = manifest.state == "finished"
        self.resumed = not self.finished and manifest.tries > 1
        self.writes = writes
        self._seconds_before = manifest.times.seconds
        self._begun = time.monotonic()

    @property
    def id(self) -> str:
        """The run's 8 hexadecimal digits."""
        return self.manifest.id

    def save(self) -> None:
        """Write the manifest as it stands, with the seconds worked so far."""
        if self.writes:
            self.manifest.times.seconds = round(self._seconds_before + time.monotonic() - self._begun, 3)
            self.manifest.write(self.folder)

    def warn(self, line: str) -> None:
        """Keep a line that the user should see beside the result; a line that is there is not repeated."""
        if line not in self.manifest.warnings:
            self.manifest.warnings.append(line)


@contextmanager
def open_run(
    verb: str,
    config: Any,
    *,
    command: str,
    overrides: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    parents: Sequence[str] = (),
    root: Path = Path("runs"),
    run_dir: Path | None = None,
    force: bool = False,
    again: bool = False,
    wait: bool = False,
    tell: Callable[[str], object] | None = None,
) -> Iterator[Run]:
    """Open the run that a command stands for, and record how the block ends.

    The same command finds the same folder. A finished run comes back as such, untouched; one that failed or
    was killed is reopened to go on. Inside the block the run is locked and its manifest says ``running``; at
    the end it says ``finished``, ``failed`` (an exception; its line is kept) or ``interrupted`` (Ctrl-C,
    SIGTERM, or leaving by SystemExit). Call it after everything was validated, since it makes the folder.

    In the further processes of a distributed run (a rank above 0) the folder must be there already; it is
    neither locked nor written.

    Args:
        verb: What is asked for, such as ``train``.
        config: The validated config dataclass.
        command: The command line, for the manifest.
        overrides: The command line's ``key=value`` arguments, for the folder's name.
        data: Fingerprint of each data set (and of each input file), by name.
        parents: Ids of the runs that this one starts from.
        root: Folder of all runs.
        run_dir: Use this folder instead.
        force: Clear the run's own outputs and begin anew.
        again: Go on with a finished run too, as if it had been interrupted.
        wait: Wait until another process that has the run open is done.
        tell: Is given one line for people before such a wait.

    Yields:
        The open run.

    Raises:
        UserError: When another process has the run open and is not waited for, the folder holds something
            else, its manifest says another identity or cannot be read, or the disk is full.
    """
    fresh = _new_manifest(verb, config, command, dict(data or {}), list(parents))
    fresh.made_from = _begun(fresh.parents, root)
    label = run_label(overrides, fresh.identity)
    if _is_further_process():
        folder = run_dir or locate_run(root, verb, fresh.id, label)
        yield Run(folder, Manifest.read(folder), writes=False)
        return
    folder = _make_folder(run_dir, root, verb, fresh.id, label)
    with ExitStack() as stack:
        stack.enter_context(_full_disk_in_words(folder))
        stack.enter_context(hold_lock(folder, wait, tell))
        run = _reopen(folder, fresh, force, again, run_dir is not None)
        if run.finished:
            stack.close()
        else:
            stack.enter_context(_state_on_record(run))
            tell_opened()
        yield run


def _new_manifest(verb: str, config: Any, command: str, data: dict[str, str], parents: list[str]) -> Manifest:
    identity = identity_of(config)
    return Manifest(
        verb=verb,
        id=identity_hash(verb, identity, data, parents),
        state="running",
        command=command,
        config=plain(config),
        identity=plain(identity),
        data=data,
        parents=parents,
        git=git_state(),
        versions=package_versions(),
        machine=this_machine(),
        times=Times(started=utc_now()),
    )


def _begun(parents: Sequence[str], root: Path) -> dict[str, str]:
    """When each of the parents below ``root`` was begun; its manifest keeps that over all tries, but not if forced."""
    found = {}
    for parent in parents:
        for path in root.glob(f"*/*-{parent}/{MANIFEST_NAME}"):
            with suppress(UserError):
                found[parent] = Manifest.read(path.parent).times.started
    return found


def _is_further_process() -> bool:
    return any(os.environ.get(name, "0") not in ("", "0") for name in _RANK_VARIABLES)


def _make_folder(run_dir: Path | None, root: Path, verb: str, run_id: str, label: str) -> Path:
    if run_dir is not None:
        run_dir.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(run_dir)
        return run_dir
    (root / verb).mkdir(parents=True, exist_ok=True)
    # Two processes that give one run different labels must not make two folders for it.
    with hold_lock(root / verb, wait=True):
        folder = locate_run(root, verb, run_id, label)
        folder.mkdir(exist_ok=True)
        _refuse_strangers(folder)
    return folder


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder with files but no manifest: they are not ours to clear or to lie among."""
    names = sorted(path.name for path in folder.iterdir())
    if MANIFEST_NAME in names or _CLEARING_NAME in names:
        return
    strangers = [name for name in names if name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX)]
    if strangers:
        raise UserError(
            f"{folder} holds {strangers[0]} but no {MANIFEST_NAME}, so it is not a run: choose another folder"
        )


def _reopen(folder: Path, fresh: Manifest, force: bool, again: bool, chosen: bool) -> Run:
    """Take up the run in the locked ``folder``, or begin it; ``chosen``: the user named the folder."""
    if (folder / _CLEARING_NAME).exists():
        _clear(folder)
    if not (folder / MANIFEST_NAME).exists():
        return _begin(folder, fresh)
    stored = Manifest.read(folder)
    _refuse_other_identity(folder, fresh, stored, chosen)
    if force:
        _clear(folder)
        return _begin(folder, fresh)
    if stored.state == "finished" and not again:
        if fresh.made_from != stored.made_from:
            # A parent was run anew; that this run has the same id says that it came out the same.
            stored.made_from = fresh.made_from
            stored.write(folder)
        run = Run(folder, stored, writes=False)
        if line := _code_warning(stored.git, fresh.git):
            run.warn(line)
        return run
    return _continue(folder, fresh, stored)


def _begin(folder: Path, fresh: Manifest) -> Run:
    remove_leftovers(folder)
    run = Run(folder, fresh, writes=True)
    run.save()
    return run


def _continue(folder: Path, fresh: Manifest, stored: Manifest) -> Run:
    remove_leftovers(folder)
    fresh.times = Times(started=stored.times.started, seconds=stored.times.seconds)
    fresh.tries = stored.tries + 1
    fresh.metrics, fresh.warnings = stored.metrics, stored.warnings
    run = Run(folder, fresh, writes=True)
    if line := _code_warning(stored.git, fresh.git):
        run.warn(line)
    run.save()
    return run


def _clear(folder: Path) -> None:
    """Remove all outputs; a mark stays until all are gone, so that a kill cannot leave half of them."""
    mark = folder / _CLEARING_NAME
    mark.touch()
    for path in folder.iterdir():
        if path.name in (LOCK_NAME, _CLEARING_NAME):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    mark.unlink()


def _refuse_other_identity(folder: Path, fresh: Manifest, stored: Manifest, chosen: bool) -> None:
    differences = first_differences(_identifying(fresh), _identifying(stored))
    if not differences:
        return
    what = ", ".join(differences)
    if chosen:
        raise UserError(f"run_dir={folder} holds another run, which differs in {what}: choose another folder")
    raise UserError(
        f"{folder} has the id of this run but differs in {what}: its manifest was changed by hand, or two "
        "runs share an id; move the folder away, or give run_dir="
    )


def _identifying(manifest: Manifest) -> dict[str, Any]:
    rest = {"verb": manifest.verb, "fingerprint": manifest.data, "parents": manifest.parents}
    return manifest.identity | rest


def _code_warning(then: GitState | None, now: GitState | None) -> str | None:
    if then is None or now is None:
        return None
    if code_changed(then, now):
        return f"the code has changed since this run: it was made at {then.sha[:8]}, now it is {now.sha[:8]}"
    if then.dirty or now.dirty:
        return f"the code may have changed since this run: {now.sha[:8]} has changes that are not committed"
    return None


@contextmanager
def _full_disk_in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"{folder}: the disk is full; make room, and the same command goes on from there") from error


@contextmanager
def _state_on_record(run: Run) -> Iterator[None]:
    with sigterm_as_exit():  # around the record, too: a second SIGTERM must not end what the first one began
        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            run.manifest.state = "interrupted" if interrupted else "failed"
            run.manifest.error = None if interrupted else _error_line(error)
            raise
        else:
            run.manifest.state = "finished"
        finally:
            run.manifest.times.finished = utc_now()
            run.save()


def _error_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
