"""Milliseconds of every stage, answer, decision and decoding on this machine."""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cascade_exit.model import FULL, Digest, decode_kept, make_digest
from cascade_exit.runs import Machine, SchemaError, UserError, atomic_write_json, build, this_machine, to_plain
from cascade_exit.runtime.detector import Detector
from cascade_exit.runtime.runner import Runner, calibrated
from cascade_exit.runtime.turns import turns

SCHEMA_VERSION = 1
# Columns of the samples.
ADVANCE, ANSWER, DECIDE, DECODE = range(4)


@dataclass(frozen=True)
class TimingConfig:
    """How times are taken.

    Attributes:
        batch_size: images at once.
        repeats: passes over all stages that count.
        warmup: passes before them.
        threads: of torch; none: as many as it uses now.
    """

    batch_size: int = 1
    repeats: int = 100
    warmup: int = 10
    threads: int | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "repeats"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        if self.warmup < 0:
            raise ValueError(f"warmup must not be negative, got {self.warmup}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")


@dataclass(frozen=True)
class Timing:
    """Milliseconds per image over all repeats: time of a batch divided by its images."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float

    @classmethod
    def of(cls, samples_ms: Float[np.ndarray, " repeat"]) -> "Timing":
        """Summary of one time per repeat."""
        p50, p90, p99 = (float(value) for value in np.percentile(samples_ms, (50, 90, 99)))
        return cls(float(samples_ms.mean()), p50, p90, p99)


@dataclass(frozen=True)
class ExitTiming:
    """Times of one exit.

    Attributes:
        advance: the stage that ends here; the first one's includes scaling the pixels.
        answer: the exit's branch and heads.
        decide: the digest, and the policy's decision where a policy was timed; none at full.
        decode: boxes, NMS and, with a policy, calibrated scores.
        leaving: of an image that leaves here: every stage, answer and decision up to here, and decoding here.
        builds_on_previous: its answer, or the scores of its detections, need the answer of the exit before.
        averaged: the scores of its detections need the digest of the exit before, whether that decides or not.
        apart: nothing builds on its stage, so an image that is not asked here passes it by.
    """

    advance: Timing
    answer: Timing
    decide: Timing | None
    decode: Timing
    leaving: Timing
    builds_on_previous: bool
    averaged: bool = False
    apart: bool = False


@dataclass(frozen=True)
class StageCosts:
    """What the exits of a detector cost on one machine.

    Attributes:
        backend: what ran the network.
        device: where it ran.
        threads: of the backend.
        batch_size: images at once.
        repeats: passes that count.
        machine: where the times were taken.
        exits: by name, from shallow to deep.
    """

    backend: str
    device: str
    threads: int
    batch_size: int
    repeats: int
    machine: Machine
    exits: dict[str, ExitTiming]

    def leaving_costs(self, deciding: Collection[str] | None = None) -> dict[str, float]:
        """Mean milliseconds of an image that leaves at each exit.

        Args:
            deciding: early exits that the policy has a rule for; the others are passed by. All where none are named;
                an empty collection gives the static detectors that end at each exit.

        Raises:
            ValueError: an exit is not one of the early exits.
        """
        early = [name for name in self.exits if name != FULL]
        deciding = early if deciding is None else deciding
        if unknown := set(deciding) - set(early):
            raise ValueError(f"deciding must be among {', '.join(early)}, got {', '.join(sorted(unknown))}")
        return {name: self._leaving_ms(name, deciding) for name in self.exits}

    def _leaving_ms(self, leaving_at: str, deciding: Collection[str]) -> float:
        names = list(self.exits)
        total_ms, needed = self.exits[leaving_at].decode.mean_ms, {leaving_at, *deciding}
        digested = set(deciding)
        for name in reversed(names[: names.index(leaving_at) + 1]):
            timing = self.exits[name]
            if name in needed or not timing.apart:
                total_ms += timing.advance.mean_ms
            if name in needed:
                total_ms += timing.answer.mean_ms
                if timing.builds_on_previous:
                    needed.add(names[names.index(name) - 1])
                if timing.averaged:
                    digested.add(names[names.index(name) - 1])
            if name in digested and timing.decide is not None:
                total_ms += timing.decide.mean_ms
        return total_ms


def measure_stage_costs(
    detector: Detector | Runner,
    images: UInt8[Tensor, "image 3 row column"],
    config: TimingConfig = TimingConfig(),
    progress: bool = False,
) -> StageCosts:
    """Times one detector; see `measure_together`."""
    return measure_together([detector], images, config, progress)[0]


def measure_together(
    detectors: Sequence[Detector | Runner],
    images: UInt8[Tensor, "image 3 row column"],
    config: TimingConfig = TimingConfig(),
    progress: bool = False,
) -> list[StageCosts]:
    """Times detectors in turns, so that whatever else the machine does falls on all of them alike.

    Args:
        detectors: a runner's times include its policy's decisions and calibration, a detector's the digest only.
        images: RGB at the input size; what decoding costs depends on what is seen, so photos rather than noise.
            Each repeat takes the next ones.
        config: how often, how many at once.
        progress: show a progress bar on standard error.

    Returns:
        The costs of each detector.

    Raises:
        ValueError: no images, or a detector takes images of another size.
    """
    if not len(images):
        raise ValueError("images must hold at least one image")
    samples: list[list[np.ndarray]] = [[] for _ in detectors]
    with _fixed_threads(config.threads):
        order = list(turns(range(len(detectors)), config.warmup + config.repeats))
        for which, passes in track(order, "Timing stages", console=Console(stderr=True), disable=not progress):
            chosen = (passes.start * config.batch_size + torch.arange(config.batch_size)) % len(images)
            times_ms = _time_one_pass(detectors[which], images[chosen])
            if passes.start >= config.warmup:
                samples[which].append(times_ms / config.batch_size)
        threads = torch.get_num_threads()
    return [
        _summary(detector, np.stack(of_detector), config, threads)
        for detector, of_detector in zip(detectors, samples, strict=True)
    ]


def write_stage_costs(folder: Path, costs: StageCosts) -> Path:
    """Writes `costs/<backend>.json` into a run's folder and returns its path."""
    path = folder / "costs" / f"{costs.backend}.json"
    atomic_write_json(path, {"schema_version": SCHEMA_VERSION} | to_plain(costs))
    return path


def read_stage_costs(path: Path) -> StageCosts:
    """Reads what `write_stage_costs` wrote.

    Raises:
        UserError: the file is missing, damaged or of another version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the stage costs of a run")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not readable as stage costs: they are a JSON object")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version is {version}, this version reads {SCHEMA_VERSION}")
    try:
        return build(StageCosts, content)
    except SchemaError as error:
        raise UserError(f"{path}: not readable as stage costs ({error.lines[0]})") from error


@contextmanager
def _fixed_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Milliseconds since the last look, when the device has done its work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = self._now()

    def lap_ms(self) -> float:
        last, self._last = self._last, self._now()
        return (self._last - last) * 1e3

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@torch.inference_mode()
def _time_one_pass(subject: Detector | Runner, images: Tensor) -> Float[np.ndarray, "exit 4"]:
    """Milliseconds of one batch: a row per exit, columns advance, answer, decide, decode."""
    policy = subject.policy if isinstance(subject, Runner) else None
    detector = subject.detector if isinstance(subject, Runner) else subject
    network, checkpoint = detector.network, detector.checkpoint
    sizes = torch.tensor([images.shape[-2:]] * len(images), device=detector.device)
    averaged = checkpoint.model.averaged_with
    times_ms = np.zeros((len(network.exit_names), 4))
    previous: Digest | None = None
    digest: Digest | None = None
    clock = _Clock(detector.device)
    state = network.start(detector.fed(images))
    for row, name in zip(times_ms, network.exit_names, strict=True):
        state = network.advance(name, state)
        row[ADVANCE] = clock.lap_ms()
        output, state = network.answer(name, state)
        row[ANSWER] = clock.lap_ms()
        if name != FULL:
            digest = make_digest(output, network.grids[name])
            if policy is not None:
                policy.stops(name, digest, previous).any().item()
            row[DECIDE] = clock.lap_ms()
        earlier = previous if name in averaged else None
        kept = decode_kept(output, network.grids[name], checkpoint.model.input, sizes, checkpoint.decoding, earlier)
        if policy is not None:
            for one in kept:
                calibrated(policy, name, one.detections, one.logits)
        row[DECODE], previous = clock.lap_ms(), digest
    return times_ms


def _summary(
    subject: Detector | Runner, samples_ms: Float[np.ndarray, "repeat exit 4"], config: TimingConfig, threads: int
) -> StageCosts:
    detector = subject.detector if isinstance(subject, Runner) else subject
    on_the_way = samples_ms[..., [ADVANCE, ANSWER, DECIDE]].sum(axis=-1).cumsum(axis=-1)
    leaving = on_the_way + samples_ms[..., DECODE]
    exits = {
        name: ExitTiming(
            advance=Timing.of(samples_ms[:, index, ADVANCE]),
            answer=Timing.of(samples_ms[:, index, ANSWER]),
            decide=None if name == FULL else Timing.of(samples_ms[:, index, DECIDE]),
            decode=Timing.of(samples_ms[:, index, DECODE]),
            leaving=Timing.of(leaving[:, index]),
            builds_on_previous=len(detector.network.answering({name})) > 1
            or name in detector.checkpoint.model.averaged_with,
            averaged=name in detector.checkpoint.model.averaged_with,
            apart=name not in detector.network.running({FULL}),
        )
        for index, name in enumerate(detector.exit_names)
    }
    return StageCosts(
        backend=detector.backend,
        device=str(detector.device),
        threads=threads,
        batch_size=config.batch_size,
        repeats=config.repeats,
        machine=this_machine(),
        exits=exits,
    )
