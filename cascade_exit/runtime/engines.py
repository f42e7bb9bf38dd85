"""Engines that run exported graphs: ONNX Runtime and OpenVINO, on the CPU."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cascade_exit.runs import UserError
from cascade_exit.runtime.graphs import Engine

# What OpenVINO is told to compute in; its own choice depends on the machine.
OPENVINO_PRECISIONS = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}


def open_engine(path: Path, backend: str, precision: str, threads: int | None) -> Engine:
    """Opens one graph.

    Args:
        path: an `.onnx` file; an `.xml` file of OpenVINO for that backend only.
        backend: onnxruntime or openvino.
        precision: that the graph was exported in.
        threads: CPU threads; none: the backend's choice.

    Raises:
        UserError: the backend is not installed, or cannot read the graph.
    """
    opened = {"onnxruntime": _onnxruntime, "openvino": _openvino}[backend]
    try:
        return opened(path, precision, threads)
    except ImportError as error:
        raise UserError(f"backend={backend} is not installed here: pip install 'cascade_exit[{backend}]'") from error
    except RuntimeError as error:  # both backends' errors are RuntimeErrors
        raise UserError(f"{path}: not readable by {backend} ({str(error).splitlines()[0][:120]})") from error


def _onnxruntime(path: Path, precision: str, threads: int | None) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    # Every graph has threads of its own: spinning while they wait, they would take the cores from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base but this
        raise RuntimeError(str(error)) from error
    names = [one.name for one in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        outputs: Sequence[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs

    return run


@cache
def _openvino_core() -> Any:
    import openvino

    return openvino.Core()


def _openvino(path: Path, precision: str, threads: int | None) -> Engine:
    core, hint = _openvino_core(), OPENVINO_PRECISIONS[precision]
    if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError(f"{path}: exported with precision={precision}, which this CPU cannot compute in")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    request = core.compile_model(str(path), "CPU", settings).create_infer_request()

    def run(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        found = request.infer(list(inputs), share_inputs=True)
        return [found[place] for place in range(len(found))]

    return run
