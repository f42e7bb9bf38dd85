"""Contenders that answer the same photos in turns, many times: what each part of the work takes each of them."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track

from cascade_exit.data import CocoSet, ImageRecord, ImageStore, read_image, resize_image, stack_images
from cascade_exit.evaluation import percentile_interval, resampled_weights
from cascade_exit.evaluation.intervals import Groups, Interval
from cascade_exit.runtime.detector import as_pixels
from cascade_exit.runtime.runner import DriftWarning, Runner, Stopped
from cascade_exit.runtime.turns import turns

Samples = Float[np.ndarray, "repeat image"]


@dataclass(frozen=True, eq=False)
class Laps:
    """Milliseconds of one contender: a batch's time divided by its images.

    Attributes:
        resize_ms: from decoded pixels to the input.
        network_ms: stages, answers and decisions, up to the exits taken.
        postprocessing_ms: boxes, suppression and calibration.
    """

    resize_ms: Samples
    network_ms: Samples
    postprocessing_ms: Samples

    @property
    def total_ms(self) -> Samples:
        """From decoded pixels to detections."""
        return self.resize_ms + self.network_ms + self.postprocessing_ms


@dataclass(frozen=True, eq=False)
class Race:
    """What a race came to.

    Attributes:
        places: of the photos in the set.
        decode_ms: of the files; the same for all contenders, of whose turns it is the mean.
        laps: by contender.
        stopped: every contender's answers to the photos, from the first repeat.
        batch_size: photos at once.
    """

    places: Int[np.ndarray, " photo"]
    decode_ms: Samples
    laps: dict[str, Laps]
    stopped: dict[str, list[Stopped]]
    batch_size: int

    def speedup(self, name: str, over: str, end_to_end: bool = False) -> float:
        """Ratio of the mean milliseconds of `over` to those of `name`, decoding of files included or not."""
        times, others = self._times(name, end_to_end), self._times(over, end_to_end)
        return float(others.mean() / times.mean())

    def speedup_interval(
        self,
        name: str,
        over: str,
        resamples: int,
        groups: Groups | None = None,
        end_to_end: bool = False,
        seed: int = 0,
    ) -> Interval | None:
        """95 % interval of the speedup under resampling of photos and of repeats, both sides on the same ones.

        Args:
            name: contender.
            over: the contender that it is compared with.
            resamples: sets drawn.
            groups: of each photo, where photos belong together; photos of a batch always do.
            end_to_end: whether decoding of files counts.
            seed: of the draws.
        """
        times, others = self._times(name, end_to_end), self._times(over, end_to_end)
        if self.batch_size > 1:
            groups = [str(place // self.batch_size) for place in range(self.places.size)]
        repeats = np.random.default_rng(seed).integers(len(times), size=(resamples, len(times)))
        ratios = []
        for weights, drawn in zip(resampled_weights(self.places.size, resamples, seed, groups), repeats, strict=True):
            ratios.append((others[drawn] * weights).sum() / (times[drawn] * weights).sum())
        return percentile_interval(np.array(ratios))

    def _times(self, name: str, end_to_end: bool) -> Samples:
        total = self.laps[name].total_ms
        return total + self.decode_ms if end_to_end else total


def race(
    contenders: Mapping[str, Runner],
    images: CocoSet,
    store: ImageStore,
    places: Int[np.ndarray, " photo"],
    batch_size: int = 1,
    repeats: int = 3,
    threads: int | None = None,
    progress: bool = False,
) -> Race:
    """Gives every stretch of photos to all contenders; who comes first changes with every stretch and repeat.

    Before a contender answers a batch, its files are decoded, as they are at work. Photos that stop early leave their
    batch, so that later stages run on the others only. All run on the CPU. Before the first repeat everyone answers all
    photos once, untimed.

    Args:
        contenders: by name.
        images: the set.
        store: where its decoded photos come from.
        places: which photos, ascending; those that fill no batch are left out.
        batch_size: photos at once.
        repeats: how often.
        threads: of torch, which also decides and suppresses boxes where another engine runs the network; none: as many
            as it uses now.
        progress: show a progress bar on standard error.

    Raises:
        ValueError: fewer photos than a batch holds.
    """
    places = places[: len(places) // batch_size * batch_size]
    if not len(places):
        raise ValueError(f"places must fill a batch of {batch_size}")
    shape = (repeats, len(places))
    decode_ms = np.zeros(shape)
    parts = {name: np.zeros((3, *shape)) for name in contenders}
    stopped: dict[str, list[Stopped]] = {name: [] for name in contenders}
    names, before = list(contenders), torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DriftWarning)  # photos that come again and again are no drift
            for repeat in track(range(-1, repeats), "Timing", console=Console(stderr=True), disable=not progress):
                for name, rows in turns(names, len(places), batch_size, first=repeat):
                    records = [images.records[place] for place in places[rows]]
                    decoding_ms = _decoding_ms(records)
                    found, times_ms = _timed(contenders[name], [store.read(record) for record in records])
                    if repeat == 0:
                        stopped[name] += found
                    if repeat >= 0:
                        parts[name][:, repeat, rows] = times_ms[:, None] / batch_size
                        decode_ms[repeat, rows] += decoding_ms / batch_size / len(names)
    finally:
        torch.set_num_threads(before)
    return Race(places, decode_ms, {name: Laps(*times) for name, times in parts.items()}, stopped, batch_size)


def _decoding_ms(records: Sequence[ImageRecord]) -> float:
    begun = time.perf_counter()
    for record in records:
        read_image(record.path)
    return (time.perf_counter() - begun) * 1e3


def _timed(runner: Runner, pixels: Sequence[np.ndarray]) -> tuple[list[Stopped], Float[np.ndarray, "3"]]:
    """Answers, and milliseconds of resizing, network and post-processing."""
    settings, begun = runner.detector.checkpoint.model.input, time.perf_counter()
    inputs = stack_images([resize_image(as_pixels(photo), settings) for photo in pixels])
    resized, before_s = time.perf_counter(), runner.postprocessing_s
    found = runner.detect_batch(inputs, torch.tensor([photo.shape[:2] for photo in pixels]))
    done, postprocessing_s = time.perf_counter(), runner.postprocessing_s - before_s
    return found, np.array([resized - begun, done - resized - postprocessing_s, postprocessing_s]) * 1e3
