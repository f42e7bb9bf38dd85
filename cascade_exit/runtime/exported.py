"""Exported models: a graph per stage and answer, and a model.json that says how they belong together."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cascade_exit.model import DecodingConfig, ExitCost, ModelConfig
from cascade_exit.runs import SchemaError, UserError, atomic_write_json, build, to_plain
from cascade_exit.runtime.graphs import Graph
from cascade_exit.runtime.kept_model import DESCRIPTION, SCHEMA_VERSION
from cascade_exit.runtime.network import Backend

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
# What can run a format; the first where nothing is asked for.
BACKENDS: dict[str, tuple[Backend, ...]] = {"onnx": ("onnxruntime", "openvino"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Exported:
    """All that model.json of an exported model says.

    Attributes:
        schema_version: of the file.
        name: of the model that was exported.
        format: of the graphs.
        precision: that they compute in.
        model: the network's settings.
        classes: name of label i+1 at place i.
        decoding: post-processing of raw answers.
        costs: of each exit, as it was trained.
        weights: fingerprint of the model that was exported; policies name it.
        graphs: in the order in which they run.
        files: SHA-256 of every file that graphs consist of.
    """

    schema_version: int
    name: str
    format: Format
    precision: Precision
    model: ModelConfig
    classes: tuple[str, ...]
    decoding: DecodingConfig
    costs: dict[str, ExitCost]
    weights: str
    graphs: tuple[Graph, ...]
    files: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 over the graphs, what they compute in, and what becomes of it."""
        whole = to_plain(self)
        facts = {key: whole[key] for key in ("files", "precision", "model", "classes", "decoding")}
        content = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported model."""
    return "graphs" in _description(folder / DESCRIPTION)


def write_exported(folder: Path, exported: Exported) -> None:
    """Writes model.json; the graphs lie beside it already."""
    atomic_write_json(folder / DESCRIPTION, to_plain(exported))


def read_exported(folder: Path) -> Exported:
    """Reads model.json and verifies the graphs.

    Raises:
        UserError: a file is missing, damaged, of another version, or not the one that was exported.
    """
    path = folder / DESCRIPTION
    content = _description(path)
    if "graphs" not in content:
        raise UserError(f"{path}: not an exported model; `export run={folder} format=onnx` makes one")
    if (version := content.get("schema_version")) != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version is {version}, this version reads {SCHEMA_VERSION}")
    try:
        exported = build(Exported, content)
    except SchemaError as error:
        raise UserError(f"{path}: not readable as an exported model ({error.lines[0]})") from error
    for name, digest in exported.files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; {DESCRIPTION} says that the exported model has it")
        if file_digest(folder / name) != digest:
            raise UserError(f"{folder / name}: not the graph that {DESCRIPTION} describes (other sha256)")
    return exported


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _description(path: Path) -> Mapping[str, Any]:
    return _parsed(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=8)
def _parsed(path: Path, changed_ns: int) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error
    return content if isinstance(content, dict) else {}
