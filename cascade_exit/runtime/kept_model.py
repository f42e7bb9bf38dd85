"""Kept models: `models/<name>/` with weights in 16 bit and everything that is needed to use and to judge them.

A model may have another one as its base: then it keeps only what differs, and is read together with that folder, which
lies beside it. No base has a base.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cascade_exit.data import ClassMap
from cascade_exit.model import DecodingConfig, ModelConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import UserError, atomic_write_bytes, atomic_write_json, build, to_plain
from cascade_exit.runs.manifest import MANIFEST_NAME
from cascade_exit.runtime.shared_weights import own_part, put_together

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
# Of a folder that is complete in itself, and of one with a base, which readers of the first alone must refuse.
SCHEMA_VERSION, BASED_VERSION = 1, 2
# A base must spare a tenth of the file: less is not worth a second folder that must not be lost.
MOST_OF_ITS_OWN = 0.9


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
    # Plus 0 makes one zero of the two: the sign that a vanished weight leaves behind means nothing.
    state = {
        name: value.half().float() + 0.0 if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{name}: a value is not finite in 16 bit; the model cannot be kept")
    return Checkpoint(checkpoint.model, checkpoint.class_map, checkpoint.decoding, state)


@dataclass(frozen=True)
class PackedWeights:
    """Weights as they are written.

    Attributes:
        content: of model.safetensors.
        description: what model.json says of them.
    """

    content: bytes
    description: dict[str, Any]


def pack_weights(folder: Path, checkpoint: Checkpoint, base: Path | None = None) -> PackedWeights:
    """Makes the weights ready to be written, and refuses what must not be.

    Args:
        folder: `models/<name>`.
        checkpoint: weights rounded to 16 bit (see `rounded_to_16_bit`).
        base: the kept model beside it whose weights it shares.

    Raises:
        UserError: the base cannot be one or shares next to nothing, or another kept model has `folder` as its base and
            could not be read any more.
    """
    state = _in_16_bit(checkpoint)
    content = save(state)
    description: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "sha256": _sha256(content)}
    if base is not None:
        shared = _read_base(folder, base)
        whole, content = content, save(_beside(base, folder.name, state, _in_16_bit(shared.checkpoint)))
        if len(content) > MOST_OF_ITS_OWN * len(whole):
            share = max(0, 1 - len(content) / len(whole))
            raise UserError(f"base={base}: {folder.name} shares only {share:.0%} with it; keep it without base")
        description = {
            "schema_version": BASED_VERSION,
            "sha256": _sha256(content),
            "base": {"name": base.resolve().name, "sha256": shared.description["sha256"]},
            "whole_sha256": _sha256(whole),
        }
    _check_leaned_on(folder, description["sha256"])
    return PackedWeights(content, description)


def write_kept_model(
    folder: Path, checkpoint: Checkpoint, details: Mapping[str, Any], base: Path | None = None
) -> None:
    """Writes model.safetensors and model.json.

    Args:
        folder: `models/<name>`.
        checkpoint: weights rounded to 16 bit (see `rounded_to_16_bit`).
        details: licence, origin, figures and provenance, added to model.json.
        base: the kept model beside it whose weights it shares; none: it keeps all of its weights.

    Raises:
        UserError: see `pack_weights`; nothing is written then.
    """
    packed = pack_weights(folder, checkpoint, base)
    description = {
        "name": folder.name,
        "model": to_plain(checkpoint.model),
        "classes": checkpoint.class_map.to_list(),
        "decoding": to_plain(checkpoint.decoding),
    }
    atomic_write_bytes(folder / WEIGHTS, packed.content)
    atomic_write_json(folder / DESCRIPTION, packed.description | description | dict(details))


def read_kept_model(folder: Path) -> KeptModel:
    """Reads a kept model, together with its base where it has one, and verifies the weights of both.

    Raises:
        UserError: a file is missing, damaged, or the weights are not those that model.json describes.
    """
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; a kept model has {DESCRIPTION} and {WEIGHTS}")
    description = _description(folder)
    version = description.get("schema_version")
    if version not in (SCHEMA_VERSION, BASED_VERSION):
        raise UserError(
            f"{folder / DESCRIPTION}: schema_version is {version}, "
            f"this version reads {SCHEMA_VERSION} and {BASED_VERSION}"
        )
    try:
        own, *base = (load(content) for content in _contents(folder, description))
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS}: not readable ({error})") from error
    state = put_together(own, *base) if base else own
    checkpoint = Checkpoint(
        model=build(ModelConfig, description["model"]),
        class_map=ClassMap(tuple(description["classes"])),
        decoding=build(DecodingConfig, description["decoding"]),
        state={name: value.float() if value.is_floating_point() else value for name, value in state.items()},
    )
    return KeptModel(checkpoint, description)


def base_of(folder: Path) -> Path | None:
    """The folder whose weights a kept model shares, whether it is there or not; None where it has no base.

    Raises:
        UserError: model.json is damaged.
    """
    if not (folder / DESCRIPTION).is_file():
        return None
    base = _description(folder).get("base")
    return folder.resolve().parent / base["name"] if base else None


def kept_fingerprint(folder: Path) -> str:
    """First 16 hexadecimal digits of a SHA-256 over all that decides what a kept model answers.

    That is its weights, whether they are kept as one file or over a base, and what model.json says of the network,
    the classes and the post-processing: the same weights at another input size, say, are another model.

    Raises:
        UserError: model.json is damaged, or there is a base and its weights or its own are not as described.
    """
    description = _description(folder)
    if "base" in description:
        _contents(folder, description)
        weights = description["whole_sha256"]
    else:
        weights = _sha256((folder / WEIGHTS).read_bytes())
    facts = {"weights": weights} | {key: description.get(key) for key in ("model", "classes", "decoding")}
    return _sha256(json.dumps(facts, sort_keys=True).encode())[:16]


def _read_base(folder: Path, base: Path) -> KeptModel:
    if not is_kept(base) or not (base / WEIGHTS).is_file():
        raise UserError(f"base={base}: is no kept model with weights; `export run=RUN name={base.name}` makes one")
    if base.resolve() == folder.resolve():
        raise UserError(f"base={base}: is the very model that is to be kept; give another, or none")
    if base.resolve().parent != folder.resolve().parent:
        raise UserError(f"base={base}: must lie beside {folder}, as {folder.parent / base.name}")
    if (below := base_of(base)) is not None:
        raise UserError(f"base={base}: has itself a base ({below.name}), and no base may; give one that has none")
    return read_kept_model(base)


def _beside(base: Path, name: str, state: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if lacking := sorted(shared.keys() - state.keys()):
        raise UserError(
            f"base={base}: has {lacking[0]}, which {name} lacks; give one that has nothing more than {name}"
        )
    return own_part(state, shared)


def _check_leaned_on(folder: Path, sha256: str) -> None:
    """Refuses weights that take away what other kept models have as their base."""
    folder, leaning = folder.resolve(), []
    for path in sorted(folder.parent.glob(f"*/{DESCRIPTION}")):
        with suppress(UserError):  # a damaged one cannot be read anyway
            base = _description(path.parent).get("base")
            if base and base["name"] == folder.name and base["sha256"] != sha256:
                leaning.append(path.parent.name)
    if leaning:
        raise UserError(
            f"name={folder.name}: other weights of that name are the base of {', '.join(leaning)}, which could not be "
            f"read any more; give another name, or first export {', '.join(leaning)} without base"
        )


def _description(folder: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder / DESCRIPTION}: not readable as JSON ({error})") from error
    return description


def _in_16_bit(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in checkpoint.state.items()
    }


def _contents(folder: Path, description: Mapping[str, Any]) -> list[bytes]:
    """The weights file, and where there is a base, that of the base; both as described."""
    contents = [(folder / WEIGHTS).read_bytes()]
    if _sha256(contents[0]) != description["sha256"]:
        raise UserError(f"{folder / WEIGHTS}: not the weights that {DESCRIPTION} describes (other sha256)")
    if "base" in description:
        file = folder.resolve().parent / description["base"]["name"] / WEIGHTS
        if not file.is_file():
            raise UserError(
                f"{file}: no such file, but {folder} keeps only what differs from it; copy folder {file.parent.name} "
                f"there, or export {folder.name} anew"
            )
        contents.append(file.read_bytes())
        if _sha256(contents[1]) != description["base"]["sha256"]:
            raise UserError(
                f"{file}: not the weights that {folder} was kept over (other sha256); copy the folder "
                f"{file.parent.name} that belongs to it there, or export {folder.name} anew"
            )
    return contents


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
