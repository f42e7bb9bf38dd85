"""How busy a GPU is: the share of the time in which any kernel ran, as nvidia-smi samples it."""

import subprocess
import time
from collections.abc import Sequence
from threading import Thread
from types import TracebackType

import torch

EVERY_MS = 100
# nvidia-smi speaks of up to a second before.
SETTLE_S = 1.0


class GpuMeter:
    """Reads nvidia-smi while it is open.

    Args:
        device: the GPU; nothing is read for any other device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.samples: list[tuple[float, float]] = []  # when, on time.perf_counter's clock, and per cent busy
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "GpuMeter":
        if self.device.type == "cuda":
            gpu = f"GPU-{torch.cuda.get_device_properties(self.device).uuid}"
            asked = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--loop-ms={EVERY_MS}"]
            command = ["nvidia-smi", f"--id={gpu}", *asked]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit():  # a part of a GPU (MIG) has no such figure
                self.samples.append((time.perf_counter(), float(line)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def busy(self, spans: Sequence[tuple[float, float]]) -> float | None:
        """Mean share within some spans of time, but for their first second; None where nothing was read in them."""
        spans = [(start + SETTLE_S, stop) for start, stop in spans]
        within = [busy for at, busy in self.samples if any(start <= at <= stop for start, stop in spans)]
        return sum(within) / len(within) / 100 if within else None
