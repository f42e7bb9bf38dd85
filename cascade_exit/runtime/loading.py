"""From the name of a model to something that detects."""

from pathlib import Path
from typing import overload

import torch

from cascade_exit.policies import Policy, read_policy
from cascade_exit.runs import UserError, find_run
from cascade_exit.runtime.detector import Detector, model_fingerprint, read_model
from cascade_exit.runtime.runner import Runner

SHIPPED = "shipped"
POLICY = "policy.json"


@overload
def load(
    reference: str | Path, device: str | torch.device = "cpu", root: Path = Path("runs"), *, policy: None = None
) -> Detector: ...


@overload
def load(
    reference: str | Path,
    device: str | torch.device = "cpu",
    root: Path = Path("runs"),
    *,
    policy: Policy | str | Path,
) -> Runner: ...


def load(
    reference: str | Path,
    device: str | torch.device = "cpu",
    root: Path = Path("runs"),
    *,
    policy: Policy | str | Path | None = None,
) -> Detector | Runner:
    """Loads a detector, or with a policy a runner that stops early on easy images.

    Both are called with a photo and give detections; a runner's `detect` also tells at which exit it stopped.

    Args:
        reference: a kept model such as `models/chair`, a run's folder, or the start of a run's id.
        device: where it runs.
        root: folder of all runs.
        policy: a policy, the file of one, or "shipped" for the one that lies beside the model's weights.

    Raises:
        UserError: nothing is called so, it has no readable weights, or the policy is missing, damaged or made for
            another model.
    """
    folder = find_run(str(reference), root)
    detector = Detector(read_model(folder), device)
    if policy is None:
        return detector
    if not isinstance(policy, Policy):
        policy = _read(policy, folder)
    policy.check(model_fingerprint(folder), detector.class_map.names)
    return Runner(detector, policy)


def _read(reference: str | Path, folder: Path) -> Policy:
    if reference != SHIPPED:
        return read_policy(Path(reference))
    if not (folder / POLICY).is_file():
        raise UserError(f"policy={SHIPPED}: {folder} has no {POLICY}; tune it, or give the file of a policy")
    return read_policy(folder / POLICY)
