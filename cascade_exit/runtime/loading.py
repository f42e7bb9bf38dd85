"""From the name of a model to something that detects."""

from dataclasses import replace
from pathlib import Path
from typing import overload

import torch

from cascade_exit.data import ClassMap
from cascade_exit.model import exit_grids
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies import Policy, read_policy
from cascade_exit.runs import UserError, find_run
from cascade_exit.runtime.detector import Detector, model_fingerprint, read_model
from cascade_exit.runtime.engines import open_engine
from cascade_exit.runtime.exported import BACKENDS, is_exported, read_exported
from cascade_exit.runtime.graphs import GraphNetwork
from cascade_exit.runtime.network import Backend
from cascade_exit.runtime.runner import Runner

SHIPPED = "shipped"
POLICY = "policy.json"


@overload
def load(
    reference: str | Path,
    device: str | torch.device = "cpu",
    root: Path = Path("runs"),
    *,
    policy: None = None,
    backend: Backend | None = None,
    threads: int | None = None,
) -> Detector: ...


@overload
def load(
    reference: str | Path,
    device: str | torch.device = "cpu",
    root: Path = Path("runs"),
    *,
    policy: Policy | str | Path,
    backend: Backend | None = None,
    threads: int | None = None,
) -> Runner: ...


def load(
    reference: str | Path,
    device: str | torch.device = "cpu",
    root: Path = Path("runs"),
    *,
    policy: Policy | str | Path | None = None,
    backend: Backend | None = None,
    threads: int | None = None,
) -> Detector | Runner:
    """Loads a detector, or with a policy a runner that stops early on easy images.

    Both are called with a photo and give detections; a runner's `detect` also tells at which exit it stopped.

    Args:
        reference: a kept or exported model such as `models/chair`, a run's folder, or the start of a run's id.
        device: where it runs.
        root: folder of all runs.
        policy: a policy, the file of one, a tune run (folder, or the start of its id), or "shipped" for the one that
            lies beside the model's weights.
        backend: what runs the network: torch, or of an exported model onnxruntime or openvino; none: what suits it.
        threads: CPU threads of an exported model's backend; none: its choice. Torch has its own setting.

    Raises:
        UserError: nothing is called so, it has no readable weights, the backend cannot run it, or the policy is
            missing, damaged or made for another model.
    """
    folder = find_run(str(reference), root)
    detector = open_detector(folder, device, backend, threads)
    if policy is None:
        return detector
    if not isinstance(policy, Policy):
        policy = read_policy(_beside(folder) if policy == SHIPPED else named_policy(str(policy), root))
    own = model_fingerprint(folder)
    policy = policy_for(folder, own, policy)
    policy.check(own, detector.class_map.names)
    return Runner(detector, policy)


def open_detector(
    folder: Path, device: str | torch.device = "cpu", backend: Backend | None = None, threads: int | None = None
) -> Detector:
    """A detector of a run, a kept or an exported model; see `load`.

    Raises:
        UserError: it is not readable, or the backend cannot run it or is not installed.
    """
    if not is_exported(folder):
        if backend not in (None, "torch"):
            raise UserError(f"backend={backend} runs exported models: `export run={folder} format=onnx` makes one")
        return Detector(read_model(folder), device)
    if str(device) != "cpu":
        raise UserError(f"device={device}: exported models run on the CPU; give device=cpu")
    exported = read_exported(folder)
    backends = BACKENDS[exported.format]
    if backend is not None and backend not in backends:
        raise UserError(
            f"backend={backend} cannot run {folder} (format={exported.format}): {' or '.join(backends)} can"
        )
    chosen = backend or backends[0]
    engines = [open_engine(folder / graph.file, chosen, exported.precision, threads) for graph in exported.graphs]
    grids, sizes_px = exit_grids(exported.model), exported.model.image_sizes_px
    network = GraphNetwork(grids, sizes_px, exported.graphs, engines)
    checkpoint = Checkpoint(exported.model, ClassMap(exported.classes), exported.decoding, state={})
    return Detector(checkpoint, network=network, costs=exported.costs, backend=chosen)


def policy_for(folder: Path, own: str, policy: Policy) -> Policy:
    """A policy, as one for this very model: an exported model takes over those of the weights that it was made from.

    Args:
        folder: of the model.
        own: the model's fingerprint.
        policy: as it was found; it stays as it is where it is for another model.
    """
    if is_exported(folder) and policy.model == read_exported(folder).weights:
        return replace(policy, model=own)
    return policy


def named_policy(reference: str, root: Path) -> Path:
    """The file of a policy that the user names.

    Args:
        reference: the file, or a tune run (folder, or the start of its id).
        root: folder of all runs.

    Raises:
        UserError: nothing is called so, or the run has none.
    """
    if Path(reference).is_file():
        return Path(reference)
    try:
        folder = find_run(reference, root)
    except UserError as error:
        raise UserError(f"policy={reference}: neither none, {SHIPPED} nor a file; {error}") from error
    if not (folder / POLICY).is_file():
        raise UserError(f"policy={reference}: {folder} has no {POLICY}; a finished tune run has one")
    return folder / POLICY


def _beside(folder: Path) -> Path:
    if not (folder / POLICY).is_file():
        raise UserError(f"policy={SHIPPED}: {folder} has no {POLICY}; tune it, or give the file of a policy")
    return folder / POLICY
