"""Writes a trained cascade as graphs, one per stage and answer, with raw outputs; boxes and NMS stay outside."""

import contextlib
import copy
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from cascade_exit.model import FULL, CascadeDetector, State
from cascade_exit.runs import UserError, atomic_path
from cascade_exit.runtime.detector import Detector
from cascade_exit.runtime.exported import Exported, Format, Precision, file_digest, write_exported
from cascade_exit.runtime.graphs import ANSWER, Graph, Part
from cascade_exit.runtime.kept_model import SCHEMA_VERSION

# Two images: a single one would let the exporter take the batch for a constant.
EXAMPLES = 2
# 16 bit of OpenVINO: fp16 keeps the weights so, bf16 computes so; ONNX Runtime has no such convolutions on the CPU.
PRECISIONS: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
}
Step = Callable[[State], State]
Module = TypeVar("Module", bound=nn.Module)


class _Function(nn.Module):
    """A step of a network as the exporter wants it: tensors in, tensors out."""

    def __init__(self, network: CascadeDetector, step: Step, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.step, self.inputs, self.outputs = network, step, inputs, outputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        after = self.step(dict(zip(self.inputs, tensors, strict=True)))
        return tuple(after[name] for name in self.outputs)


def export_detector(
    detector: Detector,
    folder: Path,
    name: str,
    weights: str,
    format: Format = "onnx",
    precision: Precision = "fp32",
    images: UInt8[Tensor, "image 3 row column"] | None = None,
) -> Exported:
    """Writes a detector's graphs and model.json.

    Args:
        detector: computes with torch, on the CPU.
        folder: where to.
        name: of the model.
        weights: fingerprint of the detector.
        format: of the graphs.
        precision: see `PRECISIONS`.
        images: at input size, for 8 bit: ranges of activations are taken from what the network makes of them.

    Raises:
        UserError: the format has no such precision, or what exporting needs is not installed.
    """
    check_exportable(format, precision)
    assert isinstance(detector.network, CascadeDetector)
    graphs = export_graphs(detector.network, folder)
    if precision == "int8":
        from cascade_exit.runtime.quantising import quantise_graphs

        assert images is not None
        quantise_graphs(graphs, folder, detector.network, images)
    if format == "openvino":
        graphs = tuple(_as_openvino(graph, folder, precision) for graph in graphs)
    files = [folder / graph.file for graph in graphs]
    files += [file.with_suffix(".bin") for file in files if file.suffix == ".xml"]
    exported = Exported(
        schema_version=SCHEMA_VERSION,
        name=name,
        format=format,
        precision=precision,
        model=detector.checkpoint.model,
        classes=detector.class_map.names,
        decoding=detector.checkpoint.decoding,
        costs=dict(detector.costs),
        weights=weights,
        graphs=graphs,
        files={file.name: file_digest(file) for file in files},
    )
    write_exported(folder, exported)
    return exported


def check_exportable(format: Format, precision: Precision) -> None:
    """Refuses what cannot be exported, before any work.

    Raises:
        UserError: the format has no such precision, or what exporting needs is not installed.
    """
    if precision not in PRECISIONS[format]:
        raise UserError(
            f"precision={precision} cannot be had with format={format}, whose CPU kernels do not compute in it: "
            f"{', '.join(PRECISIONS[format])} can"
        )
    needed = ["onnx", "onnxscript"] + ["onnxruntime"] * (precision == "int8") + ["openvino"] * (format == "openvino")
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"export needs {', '.join(missing)}, not installed here: pip install 'cascade_exit[export]'")


def _as_openvino(graph: Graph, folder: Path, precision: Precision) -> Graph:
    """OpenVINO's form of a graph, in place of the other."""
    import openvino

    source = folder / graph.file
    target = source.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(source), target, compress_to_fp16=precision == "fp16")
    source.unlink()
    return replace(graph, file=target.name)


def export_graphs(network: CascadeDetector, folder: Path) -> tuple[Graph, ...]:
    """Writes `<exit>.<part>.onnx` for every stage and answer, both in one where a stage is run for its answer alone.

    The graphs take batches of any size.

    Args:
        network: in evaluation mode, on the CPU, its batch norm folded.
        folder: where to.

    Returns:
        The graphs, in the order in which they run.
    """
    network, size = as_exporter_wants(network), network.grid.input_size_px
    state = network.start(torch.zeros(EXAMPLES, 3, size, size, dtype=torch.uint8))
    graphs = []
    with torch.no_grad(), _quiet():
        for name, part, step in _steps(network):
            after = step(state)
            outputs = ANSWER if name == FULL else [key for key, value in after.items() if value is not state.get(key)]
            graphs.append(_export(network, step, state, outputs, folder, name, part))
            state = after
    return tuple(graphs)


def as_exporter_wants(network: Module) -> Module:
    """A copy of a network whose activations make new tensors and whose weights are not interleaved.

    Over activations in place the exporter takes many times longer, and of interleaved maps it keeps how their means
    lie in memory: five operations more for each squeeze-and-excite.
    """
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return network


def _steps(network: CascadeDetector) -> Iterator[tuple[str, Part, Step]]:
    for name in network.exit_names:
        if name == FULL or name in network.looks:
            yield name, "answer", partial(_answered_at_once, network, name)
        else:
            yield name, "advance", partial(network.advance, name)
            yield name, "answer", partial(_answered, network, name)


def _answered(network: CascadeDetector, name: str, state: State) -> State:
    """The state after an answer, with the answer in it."""
    output, state = network.answer(name, state)
    return state | dict(zip(ANSWER, output, strict=True))


def _answered_at_once(network: CascadeDetector, name: str, state: State) -> State:
    return _answered(network, name, network.advance(name, state))


def _export(
    network: CascadeDetector, step: Step, state: State, outputs: Sequence[str], folder: Path, name: str, part: Part
) -> Graph:
    captured = _captured(network, step, state, outputs)
    inputs = _read(captured, tuple(state))
    if len(inputs) < len(state):
        # Anew without the others: the batch's size may have been taken from any tensor at hand.
        captured = _captured(network, step, {key: state[key] for key in inputs}, outputs)
    program = torch.onnx.export(
        captured,
        dynamo=True,
        input_names=list(inputs),
        # A graph cannot give a tensor the name of one that it takes.
        output_names=[f"next_{key}" for key in outputs],
        verbose=False,
    )
    file = f"{name}.{part}.onnx"
    with atomic_path(folder / file) as path:
        path.write_bytes(cast(Any, program).model_proto.SerializeToString())
    return Graph(name, part, file, inputs, tuple(outputs))


def _captured(
    network: CascadeDetector, step: Step, state: State, outputs: Sequence[str]
) -> torch.export.ExportedProgram:
    """A step as a graph of torch's, for batches of any size.

    Captured here rather than by the ONNX exporter, which would take the batch for a constant where it must.
    """
    function, batch = _Function(network, step, tuple(state), outputs).eval(), torch.export.Dim("batch")
    tensors, sizes = tuple(one.contiguous() for one in state.values()), tuple({0: batch} for _ in state)
    return torch.export.export(function, tensors, dynamic_shapes=(sizes,), strict=False)


def _read(captured: torch.export.ExportedProgram, inputs: Sequence[str]) -> tuple[str, ...]:
    """The inputs whose values a graph reads, not only their size."""
    places = [node for node in captured.graph.nodes if node.name in captured.graph_signature.user_inputs]
    size_of = torch.ops.aten.sym_size.int
    return tuple(
        key
        for key, place in zip(inputs, places, strict=True)
        if any(user.target is not size_of for user in place.users)
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks of its own affairs."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
