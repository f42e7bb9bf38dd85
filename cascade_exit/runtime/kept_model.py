"""Kept models: `models/<name>/` with weights in 16 bit and everything that is needed to use and to judge them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cascade_exit.data import ClassMap
from cascade_exit.model import DecodingConfig, ModelConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import UserError, atomic_path, atomic_write_json, build, to_plain
from cascade_exit.runs.manifest import MANIFEST_NAME

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class KeptModel:
    """A kept model as read from its folder.

    Attributes:
        checkpoint: network, class map, decoding and weights (back in 32 bit).
        description: all of model.json.
    """

    checkpoint: Checkpoint
    description: dict[str, Any]


def is_kept(folder: Path) -> bool:
    """Whether a folder is a model on its own, of weights or graphs, rather than a run."""
    return (folder / DESCRIPTION).is_file() and not (folder / MANIFEST_NAME).is_file()


def rounded_to_16_bit(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with every weight as 16 bit can hold it, so that what is measured is what is shipped.

    Raises:
        UserError: a weight does not fit into 16 bit.
    """
    state = {
        name: value.half().float() if value.is_floating_point() else value for name, value in checkpoint.state.items()
    }
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{name}: a value is not finite in 16 bit; the model cannot be kept")
    return Checkpoint(checkpoint.model, checkpoint.class_map, checkpoint.decoding, state)


def write_kept_model(folder: Path, checkpoint: Checkpoint, details: Mapping[str, Any]) -> None:
    """Writes model.safetensors and model.json.

    Args:
        folder: `models/<name>`.
        checkpoint: weights rounded to 16 bit (see `rounded_to_16_bit`).
        details: licence, origin, figures and provenance, added to model.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in checkpoint.state.items()
    }
    with atomic_path(folder / WEIGHTS) as path:
        save_file(state, path)
        path.chmod(0o644)  # safetensors makes it private, but a kept model is there to be shared
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    description = {
        "schema_version": SCHEMA_VERSION,
        "name": folder.name,
        "model": to_plain(checkpoint.model),
        "classes": checkpoint.class_map.to_list(),
        "decoding": to_plain(checkpoint.decoding),
        "sha256": digest,
    }
    atomic_write_json(folder / DESCRIPTION, description | dict(details))


def read_kept_model(folder: Path) -> KeptModel:
    """Reads a kept model and verifies its weights.

    Raises:
        UserError: a file is missing, damaged, or the weights are not those that model.json describes.
    """
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; a kept model has {DESCRIPTION} and {WEIGHTS}")
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
    except ValueError as error:
        raise UserError(f"{folder / DESCRIPTION}: not readable as JSON ({error})") from error
    version = description.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{folder / DESCRIPTION}: schema_version is {version}, this version reads {SCHEMA_VERSION}")
    if hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() != description["sha256"]:
        raise UserError(f"{folder / WEIGHTS}: not the weights that {DESCRIPTION} describes (other sha256)")
    try:
        state = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS}: not readable ({error})") from error
    checkpoint = Checkpoint(
        model=build(ModelConfig, description["model"]),
        class_map=ClassMap(tuple(description["classes"])),
        decoding=build(DecodingConfig, description["decoding"]),
        state={name: value.float() if value.is_floating_point() else value for name, value in state.items()},
    )
    return KeptModel(checkpoint, description)
