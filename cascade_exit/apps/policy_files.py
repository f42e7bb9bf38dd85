"""Where policies lie: beside a kept model, in a tune run, or in a file that the user names."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cascade_exit.apps.opening import TrainedModel
from cascade_exit.policies import Policy, read_policy
from cascade_exit.policies.transfer import transfer_policy
from cascade_exit.runs import Manifest, UserError
from cascade_exit.runs.folder import list_runs
from cascade_exit.runtime.kept_model import DESCRIPTION
from cascade_exit.runtime.loading import POLICY, SHIPPED, named_policy, policy_for

TUNE = "tune"


@dataclass(frozen=True)
class FoundPolicy:
    """A policy and where it was found.

    Attributes:
        policy: belongs to the model.
        path: of its file.
        fingerprint: first 16 hexadecimal digits of the SHA-256 of the file.
        run: id of the tune run that it lies in, if it lies in one.
        tuned_for: what it was tuned for, in words, if that is another model.
    """

    policy: Policy
    path: Path
    fingerprint: str
    run: str | None
    tuned_for: str | None = None

    @classmethod
    def open(cls, reference: str, model: TrainedModel, root: Path, transfer: bool = False) -> "FoundPolicy":
        """Finds and reads a policy, and refuses one of another model unless it is to be transferred.

        Args:
            reference: shipped, a file, or a tune run (folder, or the start of its id).
            model: what it must belong to.
            root: folder of all runs.
            transfer: apply a policy of another model unchanged.

        Raises:
            UserError: there is none, it is damaged, or it belongs to other weights or classes; or it cannot be
                transferred.
        """
        path = _shipped(model, root) if reference == SHIPPED else named_policy(reference, root)
        classes, tuned_for = model.detector.class_map.names, None
        policy = policy_for(model.folder, model.fingerprint, read_policy(path))
        if transfer and policy.model != model.fingerprint:
            tuned_for = f"model {policy.model} with the classes {', '.join(policy.classes)}"
            policy = transfer_policy(policy, model.fingerprint, classes, model.detector.exit_names)
        policy.check(model.fingerprint, classes)
        policy.check_exits(model.detector.exit_names)
        fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return cls(policy, path, fingerprint, _run_id(path.parent), tuned_for)


def _shipped(model: TrainedModel, root: Path) -> Path:
    if (model.folder / DESCRIPTION).is_file():
        if (model.folder / POLICY).is_file():
            return model.folder / POLICY
        raise UserError(f"policy={SHIPPED}: {model.folder} has no {POLICY}; tune one, or give policy=FILE")
    tuned = [folder for folder in list_runs(root) if folder.parent.name == TUNE]
    manifests = {folder: Manifest.read(folder) for folder in tuned}
    finished = [
        folder for folder, found in manifests.items() if found.state == "finished" and model.id in found.parents
    ]
    if not finished:
        raise UserError(
            f"policy={SHIPPED}: no finished {TUNE} run under {root} is of run {model.id}; "
            f"run `tune run={model.id}`, or give policy=FILE"
        )
    return max(finished, key=lambda folder: manifests[folder].times.finished or "") / POLICY


def _run_id(folder: Path) -> str | None:
    return Manifest.read(folder).id if (folder / "manifest.json").is_file() else None
