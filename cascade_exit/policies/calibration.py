"""Scores that mean the same at every exit: a temperature on the logits, then a monotone map of the score."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from cascade_exit.evaluation import negative_log_likelihood
from cascade_exit.model import Digest, label_probabilities

TEMPERATURE_RANGE = (0.25, 4.0)
MOST_KNOTS = 8
# Expected number of correct detections behind each knot, and how many detections the unmapped score is worth.
CORRECT_PER_KNOT = 10
PRIOR_CORRECT = 5.0
# Share of the unmapped score in the map: keeps it strictly increasing.
SLOPE = 0.01
GOLDEN = (math.sqrt(5) - 1) / 2

Numbers = TypeVar("Numbers", np.ndarray, Tensor)


@dataclass(frozen=True)
class ExitCalibration:
    """What an exit's answer is put right by. It changes no box, and NMS is not run again.

    Attributes:
        temperature: the logits are divided by it (Guo et al., ICML 2017).
        score_map: knots (score at that temperature, probability that the detection is correct), from score 0 to 1;
            linear in between. None: the score stays.
    """

    temperature: float = 1.0
    score_map: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.score_map is not None:
            _check_map(self.score_map)

    def digest(self, digest: Digest) -> Digest:
        """The digest at this temperature; the scalars over all anchors stay, as does the order of the anchors."""
        return digest if self.temperature == 1 else digest.replaced(logits=digest.logits / self.temperature)

    def scores(
        self,
        logits: Float[np.ndarray, "detection label"] | Float[Tensor, "detection label"],
        labels: Int[np.ndarray, " detection"] | Int[Tensor, " detection"],
    ) -> Float32[np.ndarray, " detection"] | Float32[Tensor, " detection"]:
        """Scores of kept detections.

        Args:
            logits: of the anchors that the detections came from; label 0 is background.
            labels: of the detections.

        Returns:
            Of the kind that `logits` is of, array or tensor; the numbers are the same.
        """
        if isinstance(logits, np.ndarray):
            return self._scores(torch.tensor(logits), torch.tensor(labels)).numpy()
        return self._scores(logits, torch.as_tensor(labels))

    def _scores(self, logits: Tensor, labels: Tensor) -> Tensor:
        probability = label_probabilities(logits.float() / self.temperature)
        scores = probability.gather(1, labels.long()[:, None])[:, 0]
        return scores if self.score_map is None else _interpolate(scores, self.score_map)


def fit_temperature(
    logits: Float[np.ndarray, "detection label"],
    labels: Int[np.ndarray, " detection"],
    correct: Bool[np.ndarray, " detection"],
) -> float:
    """Temperature that minimises the negative log likelihood of "this detection is correct".

    Args:
        logits: of the anchors that the detections came from.
        labels: of the detections.
        correct: whether each found an object at IoU 0.5; those on a crowd must be left out.

    Returns:
        Within TEMPERATURE_RANGE; 1 where there is no detection, or where outcomes do not depend on the temperature.
    """
    if not correct.size:
        return 1.0

    def loss(log_temperature: float) -> float:
        scores = ExitCalibration(math.exp(log_temperature)).scores(logits, labels)
        return negative_log_likelihood(np.asarray(scores, np.float64), correct)

    low, high = (math.log(bound) for bound in TEMPERATURE_RANGE)
    grid = np.linspace(low, high, 17)
    losses = [loss(at) for at in grid]
    # The grid holds 0 (temperature 1), which wins where nothing is better.
    best = min(range(len(grid)), key=lambda place: (losses[place], abs(grid[place])))
    found = _golden_section(loss, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    return float(np.clip(math.exp(found if loss(found) < losses[best] else grid[best]), *TEMPERATURE_RANGE))


def fit_score_map(
    scores: Float[np.ndarray, " detection"], correct: Bool[np.ndarray, " detection"]
) -> tuple[tuple[float, float], ...] | None:
    """Monotone piecewise-linear map from score to the probability that a detection is correct.

    Scores are cut into bins that should hold equally many correct detections. Each bin's frequency is shrunk towards
    its mean score, the more the fewer detections there are, and made monotone by pooling adjacent violators
    (isotonic regression, Zadrozny and Elkan, KDD 2002). The knots stand at the bins' mean scores. The map is strictly
    increasing, so it changes no rank within an exit.

    Args:
        scores: at the exit's temperature.
        correct: whether each detection found an object at IoU 0.5; those on a crowd must be left out.

    Returns:
        Knots from score 0 to score 1; None where there is no detection.
    """
    if not scores.size:
        return None
    order = np.argsort(scores, kind="stable")
    ordered, outcome = scores[order].astype(np.float64), correct[order].astype(np.float64)
    expected = np.cumsum(ordered)
    bins = int(np.clip(min(expected[-1], outcome.sum()) // CORRECT_PER_KNOT, 1, MOST_KNOTS))
    bin_of = np.minimum((expected / max(expected[-1], 1e-12) * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    mean = np.bincount(bin_of, ordered, bins)[count > 0] / count[count > 0]
    # Worth PRIOR_CORRECT correct detections if the score is right, whatever the score.
    prior = PRIOR_CORRECT / np.maximum(mean, 1e-6)
    shrunk = (np.bincount(bin_of, outcome, bins)[count > 0] + PRIOR_CORRECT) / (count[count > 0] + prior)
    return _knots(mean, _pool_adjacent_violators(shrunk, count[count > 0] + prior))


def _knots(mean: np.ndarray, probability: np.ndarray) -> tuple[tuple[float, float], ...]:
    # Beyond the last bin the map goes on along the ray from 0 through its knot.
    last = max(min(1.0, probability[-1] / max(mean[-1], 1e-12)), probability[-1])
    inner = (mean > 0) & (mean < 1) & (np.diff(mean, prepend=0.0) > 0)
    x = np.concatenate([[0.0], mean[inner], [1.0]])
    y = np.concatenate([[0.0], probability[inner], [last]])
    y = (1 - SLOPE) * np.maximum.accumulate(y) + SLOPE * x
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


def _pool_adjacent_violators(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Closest non-decreasing values in weighted squares."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        size = 1
        while pools and pools[-1][0] >= value:
            before, more, members = pools.pop()
            value, weight, size = (before * more + value * weight) / (more + weight), more + weight, size + members
        pools.append((value, weight, size))
    return np.concatenate([np.full(size, value) for value, _, size in pools])


def _interpolate(scores: Tensor, knots: tuple[tuple[float, float], ...]) -> Tensor:
    # NumPy's, of no more than a hundred numbers an image: fewer operations than torch would need.
    x, y = zip(*knots, strict=True)
    mapped = np.interp(scores.double().cpu().numpy(), x, y)
    return torch.from_numpy(mapped).to(scores)


def _golden_section(function: Callable[[float], float], low: float, high: float) -> float:
    """Minimum of a function with one valley, to 1e-4."""
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    values = [function(at) for at in inner]
    while high - low > 1e-4:
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - GOLDEN * (high - low)
            values[0] = function(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + GOLDEN * (high - low)
            values[1] = function(inner[1])
    return (low + high) / 2


def _check_map(knots: tuple[tuple[float, float], ...]) -> None:
    if len(knots) < 2 or knots[0][0] != 0 or knots[-1][0] != 1:
        raise ValueError(f"score_map must go from score 0 to score 1, got {knots}")
    if not all(0 <= value <= 1 for knot in knots for value in knot):
        raise ValueError(f"score_map must stay in [0, 1], got {knots}")
    if not all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(knots)):
        raise ValueError(f"score_map must be strictly increasing, got {knots}")
