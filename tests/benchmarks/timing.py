"""How the benchmarks take times."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from cascade_exit.runtime.engines import open_engine
from cascade_exit.runtime.exporting import as_exporter_wants

Result = TypeVar("Result")


def timed(work: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """The result, and the least processor time of one call in seconds."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        result = work()
        times.append(time.process_time() - begin)
    return result, min(times)


def graph_of(network: nn.Module, image: Tensor) -> Callable[[Tensor], object]:
    """A network as ONNX Runtime runs it on one thread, for batches like the one given."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "network.onnx"
        torch.onnx.export(as_exporter_wants(network).eval(), (image,), path, dynamo=True, verbose=False)
        engine = open_engine(path, "onnxruntime", "fp32", 1)
    return lambda images: engine([images.numpy()])


def in_turns_ms(networks: Mapping[str, Callable[[Tensor], object]], images: Sequence[Tensor]) -> dict[str, float]:
    """Median time of an image by name; each image is given to all, who take turns in coming first."""
    names = list(networks)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:  # the first call of a graph takes longer
        networks[name](images[0])
    for turn, image in enumerate(images):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begun = time.perf_counter()
            networks[name](image)
            taken[name].append((time.perf_counter() - begun) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}
