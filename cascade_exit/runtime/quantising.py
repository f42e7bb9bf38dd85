"""Post-training quantisation of exported graphs to 8 bit (ONNX Runtime's, with quantise and dequantise nodes)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor

from cascade_exit.model import CascadeDetector
from cascade_exit.runtime.engines import open_engine
from cascade_exit.runtime.graphs import Engine, Graph, GraphNetwork

Inputs = list[np.ndarray]


class _Seen(CalibrationDataReader):
    """Hands out what a graph was given, one image at a time."""

    def __init__(self, graph: Graph, seen: Sequence[Inputs]) -> None:
        self._rows: Iterator[dict[str, np.ndarray]] = (dict(zip(graph.inputs, each, strict=True)) for each in seen)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rows, None)


@torch.inference_mode()
def quantise_graphs(
    graphs: Sequence[Graph], folder: Path, network: CascadeDetector, images: UInt8[Tensor, "image 3 row column"]
) -> None:
    """Replaces every graph by one whose convolutions compute in 8 bit.

    Args:
        graphs: of an exported network, `.onnx` files in 32 bit.
        folder: where they lie.
        network: the one that was exported.
        images: at input size; ranges of activations are taken from what the network makes of them.
    """
    seen: list[list[Inputs]] = [[] for _ in graphs]
    engines = [
        _recording(open_engine(folder / graph.file, "onnxruntime", "fp32", None), of_graph)
        for graph, of_graph in zip(graphs, seen, strict=True)
    ]
    recorded = GraphNetwork(network.grids, network.config.image_sizes_px, graphs, engines)
    for image in images:
        recorded(image[None])
    for graph, of_graph in zip(graphs, seen, strict=True):
        path = folder / graph.file
        quantize_static(
            path,
            path,
            _Seen(graph, of_graph),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _recording(engine: Engine, seen: list[Inputs]) -> Engine:
    def run(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        seen.append([np.array(one) for one in inputs])
        return engine(inputs)

    return run
