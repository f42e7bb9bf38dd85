"""What a runner really takes for single photos, beside a static model that takes them in turns."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track

from cascade_exit.data import CocoSet, ImageStore
from cascade_exit.evaluation import percentile_interval, resampled_weights
from cascade_exit.evaluation.intervals import Groups, Interval
from cascade_exit.policies import Policy
from cascade_exit.runtime.detector import Detector
from cascade_exit.runtime.runner import DriftWarning, Runner, Stopped
from cascade_exit.runtime.turns import turns

WARMUP = 10


@dataclass(frozen=True, eq=False)
class Timed:
    """Photos answered one by one.

    Attributes:
        places: of the photos in the set.
        stopped: what the runner answered.
        runner_ms: from pixels to detections, resizing included, decoding of the file not.
        baseline_ms: likewise.
        drift: the warning of a runner whose exits are not those that its policy expects, if it gave one.
    """

    places: Int[np.ndarray, " photo"]
    stopped: Sequence[Stopped]
    runner_ms: Float[np.ndarray, " photo"]
    baseline_ms: Float[np.ndarray, " photo"]
    drift: str | None

    @property
    def speedup(self) -> float:
        """Ratio of the means."""
        return float(self.baseline_ms.mean() / self.runner_ms.mean())

    def speedup_interval(self, resamples: int, groups: Groups | None = None, seed: int = 0) -> Interval | None:
        """95 % interval of the speedup under resampling of the photos.

        Args:
            resamples: sets of photos drawn.
            groups: of each photo, where photos belong together.
            seed: of the draws.
        """
        drawn = resampled_weights(self.places.size, resamples, seed, groups)
        ratios = [(self.baseline_ms * weights).sum() / (self.runner_ms * weights).sum() for weights in drawn]
        return percentile_interval(np.array(ratios))


def spread_places(length: int, count: int) -> Int[np.ndarray, " photo"]:
    """Places of at most `count` photos, evenly spread over a set."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))


def static_runner(detector: Detector) -> Runner:
    """Runs a detector's last exit alone; the answers of its other exits are computed only where it needs them."""
    return Runner(detector, Policy(model="", classes=detector.class_map.names, rules={}))


def time_together(
    runner: Runner,
    baseline: Runner,
    images: CocoSet,
    store: ImageStore,
    places: Int[np.ndarray, " photo"],
    warmup: int = WARMUP,
    progress: bool = False,
) -> Timed:
    """Gives every stretch of photos to both, one at a time; who comes first changes from stretch to stretch.

    Args:
        runner: what is measured.
        baseline: what it is measured against; see `static_runner`.
        images: the set.
        store: where its decoded photos come from.
        places: which photos, ascending.
        warmup: photos that both answer before, untimed.
        progress: show a progress bar on standard error.
    """
    # A runner that has seen the photos of the warm-up would count them twice when it watches its exits.
    warm = Runner(runner.detector, runner.policy), baseline
    records = [images.records[place] for place in places]
    for record in records[:warmup]:
        for one in warm:
            one.detect(store.read(record))
    stopped: list[Stopped] = []
    runner_ms, baseline_ms = np.zeros(len(records)), np.zeros(len(records))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DriftWarning)
        order = list(turns((runner, baseline), len(records)))
        for one, rows in track(order, "Timing", console=Console(stderr=True), disable=not progress):
            found, of_photo_ms = _timed(one, store.read(records[rows.start]))
            if one is runner:
                stopped.append(found)
            (runner_ms if one is runner else baseline_ms)[rows] = of_photo_ms
    drift = next((str(warning.message) for warning in caught if warning.category is DriftWarning), None)
    return Timed(places, stopped, runner_ms, baseline_ms, drift)


def _timed(runner: Runner, pixels: np.ndarray) -> tuple[Stopped, float]:
    begun = _now(runner.detector.device)
    found = runner.detect(pixels)
    return found, (_now(runner.detector.device) - begun) * 1e3


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
