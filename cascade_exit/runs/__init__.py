"""Runs: identity, folder, manifest, lock and atomic writing of everything that a verb makes."""

from cascade_exit.runs.atomic import atomic_path, atomic_write_bytes, atomic_write_json, atomic_write_text
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.folder import find_run, list_runs, run_label
from cascade_exit.runs.identity import differences, identity_hash, identity_of, not_identity
from cascade_exit.runs.lock import hold_lock, is_locked
from cascade_exit.runs.manifest import Manifest, Times
from cascade_exit.runs.plain import plain
from cascade_exit.runs.provenance import (
    GitState,
    Machine,
    code_changed,
    git_state,
    package_versions,
    this_machine,
    utc_now,
)
from cascade_exit.runs.record import Record
from cascade_exit.runs.run import Run, open_run
from cascade_exit.runs.schema import SchemaError, build, closest, to_plain

__all__ = [
    "GitState",
    "Machine",
    "Manifest",
    "Record",
    "Run",
    "SchemaError",
    "Times",
    "UserError",
    "atomic_path",
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_text",
    "build",
    "closest",
    "code_changed",
    "differences",
    "find_run",
    "git_state",
    "hold_lock",
    "identity_hash",
    "identity_of",
    "is_locked",
    "list_runs",
    "not_identity",
    "open_run",
    "package_versions",
    "plain",
    "run_label",
    "this_machine",
    "to_plain",
    "utc_now",
]
