"""A trace on disk: one safetensors file, arrays of all images end to end, everything else as JSON in its header."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cascade_exit.evaluation import ImageTruth, Quality
from cascade_exit.model import Digest
from cascade_exit.runs import UserError, atomic_path
from cascade_exit.trace.schema import DetectionTable, ExitTrace, Trace, TraceHeader

TRACE_NAME = "trace.safetensors"  # in a run's folder
SCHEMA_VERSION = 1
HEADER, CONTENT_HASH = "trace", "sha256"
RAGGED = ("boxes", "labels", "crowd", "areas")

Arrays = dict[str, np.ndarray]


def write_trace(path: Path, trace: Trace) -> None:
    """Writes a trace; the file is wholly there or not at all.

    Args:
        path: the file.
        trace: what to write.
    """
    arrays = {name: np.ascontiguousarray(values) for name, values in _arrays(trace).items()}
    header = {"schema_version": SCHEMA_VERSION, **asdict(trace.header)}
    header["difficulties"] = _difficulty_names(trace)
    text = json.dumps(header, ensure_ascii=False)
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, {HEADER: text, CONTENT_HASH: _content_hash(text, arrays)})
        temporary.chmod(0o644)  # safetensors makes it private, but a trace is there to be shared


def read_trace(path: Path) -> Trace:
    """Reads a trace and verifies that it is whole.

    Raises:
        UserError: the file is missing, damaged, no trace, or of another schema version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; make a trace with `trace`")
    try:
        with safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
            header = _header(path, metadata)
            names = opened.keys()
            arrays = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or cut off ({_reason(error)}); make the trace anew") from error
    if _content_hash(metadata[HEADER], arrays) != metadata.get(CONTENT_HASH):
        raise UserError(f"{path}: damaged: its content is not what its sha256 says; make the trace anew")
    return _trace(header, arrays)


def check_version(path: Path) -> None:
    """Reads the header of a trace alone.

    Raises:
        UserError: it is damaged, no trace, or of another schema version.
    """
    try:
        with safe_open(path, framework="np") as opened:
            _header(path, opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged or cut off ({_reason(error)}); make the trace anew") from error


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if HEADER not in metadata:
        raise UserError(f"{path}: a safetensors file, but not a trace")
    try:
        header: dict[str, Any] = json.loads(metadata[HEADER])
        version = header["schema_version"]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: damaged: its header is not readable; make the trace anew") from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version is {version}, this version reads {SCHEMA_VERSION}; make the trace anew"
        )
    return header


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]


def _content_hash(header: str, arrays: Arrays) -> str:
    """SHA-256 of the header and of every array's name, type, shape and values."""
    content = hashlib.sha256(header.encode())
    for name, values in sorted(arrays.items()):
        content.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        content.update(values.reshape(-1).view(np.uint8).data)
    return content.hexdigest()


def _arrays(trace: Trace) -> Arrays:
    arrays = {f"truth/{name}": values for name, values in _truth_arrays(trace.truth).items()}
    if (names := _difficulty_names(trace)) is not None and trace.difficulties is not None:
        arrays["difficulty"] = np.array([names.index(each) for each in trace.difficulties], np.int64)
    for name in trace.header.exit_names:
        of_exit = trace.exits[name]
        for part, values in (
            ("detections", _by_field(of_exit.detections)),
            ("digest", {key: tensor.numpy() for key, tensor in of_exit.digest.parts().items()}),
            ("quality", _by_field(of_exit.quality)),
        ):
            arrays |= {f"exits/{name}/{part}/{key}": array for key, array in values.items()}
    return arrays


def _by_field(table: DetectionTable | Quality) -> Arrays:
    return {field.name: getattr(table, field.name) for field in fields(table)}


def _difficulty_names(trace: Trace) -> list[str] | None:
    return None if trace.difficulties is None else sorted(set(trace.difficulties))


def _truth_arrays(truth: Sequence[ImageTruth]) -> Arrays:
    def end_to_end(name: str, empty: np.ndarray) -> np.ndarray:
        return np.concatenate([getattr(image, name) for image in truth]) if truth else empty

    def per_image(value: Callable[[ImageTruth], Any], *shape: int) -> np.ndarray:
        return np.array([value(image) for image in truth], np.int64).reshape(-1, *shape)

    return {
        "image_ids": per_image(lambda image: image.image_id),
        "sizes": per_image(lambda image: (image.height, image.width), 2),
        # No size has a side of 0, so it can stand for "not known".
        "original_sizes": per_image(lambda image: image.original_size or (0, 0), 2),
        "offsets": np.cumsum([0, *(len(image.labels) for image in truth)], dtype=np.int64),
        "boxes": end_to_end("boxes", np.zeros((0, 4), np.float32)),
        "labels": end_to_end("labels", np.zeros(0, np.int64)),
        "crowd": end_to_end("crowd", np.zeros(0, bool)),
        "areas": end_to_end("areas", np.zeros(0, np.float32)),
    }


def _trace(header: Mapping[str, Any], arrays: Arrays) -> Trace:
    names = tuple(header["exit_names"])
    return Trace(
        header=TraceHeader(
            model=header["model"],
            data=header["data"],
            role=header["role"],
            classes=tuple(header["classes"]),
            exit_names=names,
            score_threshold=header["score_threshold"],
            macs=header["macs"],
        ),
        truth=_truth(_below("truth", arrays)),
        difficulties=_difficulties(header["difficulties"], arrays),
        exits={name: _exit_trace(_below(f"exits/{name}", arrays)) for name in names},
    )


def _below(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(f"{prefix}/"): values for name, values in arrays.items() if name.startswith(f"{prefix}/")}


def _difficulties(names: Sequence[str] | None, arrays: Arrays) -> tuple[str, ...] | None:
    return None if names is None else tuple(names[code] for code in arrays["difficulty"])


def _truth(arrays: Arrays) -> tuple[ImageTruth, ...]:
    truth = []
    for place, image_id in enumerate(arrays["image_ids"].tolist()):
        rows = slice(arrays["offsets"][place], arrays["offsets"][place + 1])
        height, width = arrays["sizes"][place].tolist()
        original_height, original_width = arrays["original_sizes"][place].tolist()
        original_size = (original_height, original_width) if original_height else None
        of_image = {name: arrays[name][rows] for name in RAGGED}
        truth.append(ImageTruth(image_id, width, height, **of_image, original_size=original_size))
    return tuple(truth)


def _exit_trace(arrays: Arrays) -> ExitTrace:
    digest = {name: torch.from_numpy(values) for name, values in _below("digest", arrays).items()}
    return ExitTrace(
        detections=DetectionTable(**_below("detections", arrays)),
        digest=Digest(**digest),
        quality=Quality(**_below("quality", arrays)),
    )
