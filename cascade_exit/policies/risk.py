"""Risk control: how far down a path of thresholds one may go so that stopping early loses little, with proof.

The loss of an image is what it loses against the last exit, in recall or F1; its mean over images is the risk. Two
kinds of proof: in expectation over calibration sets (conformal risk control, Angelopoulos et al., ICLR 2024), or with
confidence 1 - delta in the set at hand, by an upper confidence bound (Bates et al., J. ACM 2021) from betting
(Waudby-Smith and Ramdas, J. R. Stat. Soc. B 2024). Both hold for images drawn like those of the calibrate role.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from cascade_exit.evaluation import Quality
from cascade_exit.policies.distributions import image_correctness
from cascade_exit.policies.operating_points import Values, quantile_grid
from cascade_exit.runs import UserError

LossKind = Literal["recall", "f1"]
PATH_STEPS = 40
MOST_IMAGES = 200_000
# Orders in which the bound by betting looks at the images; its wealth is the mean over them.
ORDERS = 8


@dataclass(frozen=True)
class RiskLimit:
    """What may be lost.

    Attributes:
        loss: recall or F1 of an image, at IoU 0.5.
        epsilon: highest mean loss against the last exit.
        delta: chance that the limit is broken all the same; None: it holds in expectation (CRC).
    """

    loss: LossKind = "recall"
    epsilon: float = 0.03
    delta: float | None = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon must lie in (0, 1), got {self.epsilon}")
        if self.delta is not None and not 0 < self.delta < 1:
            raise ValueError(f"delta must lie in (0, 1), got {self.delta}")

    @property
    def method(self) -> Literal["crc", "ucb"]:
        """Conformal risk control, or an upper confidence bound."""
        return "crc" if self.delta is None else "ucb"


@dataclass(frozen=True)
class Certificate:
    """What is guaranteed.

    Attributes:
        loss: see `RiskLimit`.
        method: crc: the mean loss is at most epsilon in expectation; ucb: with confidence 1 - delta.
        epsilon: see `RiskLimit`.
        delta: see `RiskLimit`.
        bound: on the mean loss, at most epsilon.
        mean_loss: as observed; where a step before on the path lost more of an image, that loss counts.
        images: behind the certificate; for recall, those with objects.
        score_threshold: detections below it do not count.
        empty_images: images without objects; a guarantee on recall says nothing of them.
        empty_loss: share of them in which the policy claims an object and the last exit none.
    """

    loss: LossKind
    method: Literal["crc", "ucb"]
    epsilon: float
    delta: float | None
    bound: float
    mean_loss: float
    images: int
    score_threshold: float
    empty_images: int
    empty_loss: float

    def facts(self) -> dict[str, str | int | float | bool | None]:
        """As policy.json holds it."""
        return asdict(self)


@dataclass(frozen=True)
class RiskControl:
    """How far one may go.

    Attributes:
        step: of the path; 0, where nothing is certified.
        certificate: None where there is none.
        images_needed: without a certificate: about how many images are needed at the losses observed; None where no
            number is enough.
        mean_loss: observed at the step, or, without a certificate, where the images needed are meant.
        variance: of the loss, likewise.
        reason: one line why there is no certificate; empty where there is one.
    """

    step: int
    certificate: Certificate | None
    images_needed: int | None
    mean_loss: float
    variance: float
    reason: str = ""


def image_losses(qualities: Sequence[Quality], kind: LossKind) -> Float64[np.ndarray, "exit image"]:
    """What each image loses if it stops at each exit instead of the last, in [0, 1].

    Args:
        qualities: by exit, the last one's last; at the score threshold that detections are shown from.
        kind: of recall, images without objects have no loss (NaN) rather than none to fear. Of F1, they lose 1 where
            the exit claims an object and the last one does not.
    """
    values = np.stack([each.recall if kind == "recall" else image_correctness(each) for each in qualities])
    return np.clip(values[-1] - values, 0, 1)


def empty_losses(qualities: Sequence[Quality]) -> Float64[np.ndarray, "exit image"]:
    """Of images without objects: 1 where an exit claims an object and the last does not. NaN for all others."""
    claims = np.stack([each.false_positives > 0 for each in qualities])
    return np.where(np.isnan(qualities[-1].recall), claims & ~claims[-1], np.nan)


def threshold_path(values: Values, steps: int = PATH_STEPS) -> tuple[dict[str, float], ...]:
    """Thresholds from safest to boldest: all exits move together, each by the quantiles of its own values.

    It looks at values, never at losses, so that a certificate along it holds.

    Args:
        values: see `rule_values`.
        steps: between stopping nothing (the first) and all (the last).
    """
    grid = {name: thresholds[::-1] for name, thresholds in quantile_grid(values, steps).items()}
    length = max(len(thresholds) for thresholds in grid.values())
    # Where values repeat, a quantile grid is shorter: some of its thresholds are stayed at for longer.
    places = {name: np.linspace(0, len(thresholds) - 1, length).round() for name, thresholds in grid.items()}
    return tuple({name: grid[name][int(places[name][step])] for name in grid} for step in range(length))


def control_risk(
    qualities: Sequence[Quality],
    choices: Int[np.ndarray, "step image"],
    limit: RiskLimit,
    score_threshold: float,
) -> RiskControl:
    """The boldest step of a path that is certified.

    The path must not be chosen by the losses of these images (see `threshold_path`); a single step that was, say, an
    operating point picked by its AP, needs other images. An image's loss counts as the highest of all steps so far,
    so that the risk never falls along the path, as the proofs need.

    Args:
        qualities: by exit, at the score threshold.
        choices: exit of every image at each step, the safest first, where no image stops before the last exit; no
            later step may send an image deeper.
        limit: what may be lost.
        score_threshold: that the qualities are of.

    Raises:
        UserError: the path does not begin where nothing stops, or sends an image deeper on its way.
    """
    _check_path(choices, len(qualities) - 1)
    losses = _along_path(image_losses(qualities, limit.loss), choices)
    step = 0
    while step + 1 < len(choices) and _holds(losses[step + 1], limit):
        step += 1
    if not (choices[step] < len(qualities) - 1).any():
        return _no_certificate(losses, choices, limit)
    empty = _along_path(empty_losses(qualities), choices[step : step + 1])[0]
    certificate = Certificate(
        loss=limit.loss,
        method=limit.method,
        epsilon=limit.epsilon,
        delta=limit.delta,
        bound=min(risk_bound(losses[step], limit), limit.epsilon),
        mean_loss=float(losses[step].mean()),
        images=losses.shape[1],
        score_threshold=score_threshold,
        empty_images=empty.size,
        empty_loss=float(empty.mean()) if empty.size else 0.0,
    )
    return RiskControl(step, certificate, None, certificate.mean_loss, float(losses[step].var()))


def risk_bound(losses: Float[np.ndarray, " image"], limit: RiskLimit) -> float:
    """Upper bound on the mean loss, by the limit's method; 1 where nothing can be said.

    Args:
        losses: in [0, 1].
        limit: its delta decides the method.
    """
    if not losses.size:
        return 1.0
    if limit.delta is None:
        return float((losses.sum() + 1) / (losses.size + 1))
    low, high = float(losses.mean()), 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if _refuted(losses, middle, limit.delta) else (middle, high)
    return high


def images_needed(losses: Float[np.ndarray, " image"], limit: RiskLimit) -> int | None:
    """About how many images with losses like these would keep the bound within the limit.

    Args:
        losses: as observed; their mean and variance decide.
        limit: what may be lost.

    Returns:
        None where the mean is not below epsilon, or so little that MOST_IMAGES are too few.
    """
    observed = losses if losses.size else np.zeros(1)
    room = limit.epsilon - float(observed.mean())
    if room <= 0:
        return None
    if limit.delta is None:
        return math.ceil(round((1 - limit.epsilon) / room, 9))
    low, high = 0, 1
    while not _enough(observed, high, limit):
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(observed, middle, limit) else (middle, high)
    return high


def _enough(losses: np.ndarray, count: int, limit: RiskLimit) -> bool:
    """Whether so many losses, spread like those given, keep the bound within the limit."""
    levels = (np.arange(count) + 0.5) / count
    return _holds(np.sort(losses)[(levels * losses.size).astype(np.int64)], limit)


def _holds(losses: np.ndarray, limit: RiskLimit) -> bool:
    if limit.delta is None or not losses.size:
        return risk_bound(losses, limit) <= limit.epsilon
    return _refuted(losses, limit.epsilon, limit.delta)


def _refuted(losses: np.ndarray, mean: float, delta: float) -> bool:
    """Whether losses with this mean, or a higher one, would make a gambler too rich to be believed.

    In each order the wealth after the last image is an e-value, and so is the mean over orders.
    """
    ordered = losses[_orders(losses.size)]
    count = np.arange(1, losses.size + 1)
    centre = (0.5 + np.cumsum(ordered, axis=1)) / (1 + count)
    spread = (0.25 + np.cumsum((ordered - centre) ** 2, axis=1)) / (1 + count)
    # Each stake knows only the losses before it.
    before = np.concatenate([np.full((ORDERS, 1), 0.25), spread[:, :-1]], axis=1)
    stake = np.minimum(1.0, np.sqrt(2 * math.log(1 / delta) / (losses.size * before)))
    # A gambler who loses everything never comes back.
    with np.errstate(divide="ignore"):
        wealth = np.log1p(-stake * (ordered - mean)).sum(axis=1)
    # Beyond exp(600) he is rich enough.
    return bool(np.exp(np.minimum(wealth, 600)).mean() >= 1 / delta)


@lru_cache(maxsize=4)
def _orders(count: int) -> Int[np.ndarray, "order image"]:
    generator = np.random.default_rng(0)
    return np.stack([generator.permutation(count) for _ in range(ORDERS)])


def _along_path(losses: np.ndarray, choices: np.ndarray) -> Float64[np.ndarray, "step counted"]:
    """Loss of each image that has one, at each step; never less than at the step before."""
    at_step = losses[choices, np.arange(choices.shape[1])]
    return np.maximum.accumulate(at_step[:, ~np.isnan(losses[-1])], axis=0)


def _no_certificate(losses: np.ndarray, choices: np.ndarray, limit: RiskLimit) -> RiskControl:
    stopping = np.flatnonzero((choices < choices[0].max(initial=0)).any(axis=1))
    if not stopping.size:
        return RiskControl(0, None, None, 0.0, 0.0, "risk: no step of the path stops any image")
    first = losses[stopping[0]]
    mean, variance = (float(first.mean()), float(first.var())) if first.size else (0.0, 0.0)
    needed = images_needed(first, limit)
    enough = "no number of them is enough" if needed is None else f"about {needed} are needed"
    which = "images with objects" if limit.loss == "recall" else "images"
    reason = (
        f"risk: no certificate for a mean {limit.loss} loss of at most {limit.epsilon:g} from {first.size} {which}; at "
        f"the mean {mean:.4f} and variance {variance:.5f} of the safest step that stops any, {enough}"
    )
    return RiskControl(0, None, needed, mean, variance, reason)


def _check_path(choices: np.ndarray, last: int) -> None:
    if not len(choices) or (choices[0] != last).any():
        raise UserError("risk: the path must begin with thresholds that stop no image before the last exit")
    deeper = np.flatnonzero((np.diff(choices, axis=0) > 0).any(axis=1))
    if deeper.size:
        raise UserError(f"risk: step {deeper[0] + 1} of the path sends an image deeper than the step before it")
