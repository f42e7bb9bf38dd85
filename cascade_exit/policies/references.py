"""What a policy is judged against: exits drawn at random, and an oracle that knows what each move gains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import Progress

from cascade_exit.evaluation import average_precision, resampled_weights
from cascade_exit.evaluation.intervals import Groups
from cascade_exit.policies.move_estimates import MoveEstimates
from cascade_exit.policies.scoring import Scorer
from cascade_exit.runs import UserError

RANDOM_DRAWS = 100
ORACLE_STEPS = 60
INTERVAL_RESAMPLES = 200
INTERVAL_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Curve:
    """AP over mean cost.

    Attributes:
        mean_costs: ascending.
        aps: at those costs.
    """

    mean_costs: Float[np.ndarray, " point"]
    aps: Float[np.ndarray, " point"]

    def ap_at(self, mean_cost: float) -> float:
        """AP at a cost, linear between points; that of the nearest end beyond them."""
        return float(np.interp(mean_cost, self.mean_costs, self.aps))


@dataclass(frozen=True, eq=False)
class Oracle:
    """The greedy oracle's way from the cheapest exit for all to the best choice it finds.

    Attributes:
        choices: exit of every image after each step.
        mean_costs: of the choices.
        aps: exact, of the choices.
    """

    choices: Int[np.ndarray, "step image"]
    mean_costs: Float[np.ndarray, " step"]
    aps: Float[np.ndarray, " step"]

    @property
    def curve(self) -> Curve:
        """The best AP at each cost or below: money need not be spent."""
        order = np.argsort(self.mean_costs, kind="stable")
        return Curve(self.mean_costs[order], np.maximum.accumulate(self.aps[order]))

    def choice_at(self, mean_cost: float) -> Int[np.ndarray, " image"]:
        """The best choice at a cost or below; the cheapest where none is."""
        affordable = np.flatnonzero(self.mean_costs <= mean_cost * (1 + 1e-9))
        if not affordable.size:
            return self.choices[int(np.argmin(self.mean_costs))]
        return self.choices[affordable[np.argmax(self.aps[affordable])]]


@dataclass(frozen=True)
class Bounds:
    """A policy between random and oracle, at the same mean cost.

    Attributes:
        random_ap: mean of the draws.
        oracle_ap: of the greedy oracle, a reference and no proven bound.
        efficacy: (policy - random) / (oracle - random); None where the gap may be nothing.
        gap_interval: of oracle - random under resampling of the images.
    """

    random_ap: float
    oracle_ap: float
    efficacy: float | None
    gap_interval: tuple[float, float]


def random_choices(
    exit_counts: Sequence[int] | Int[np.ndarray, " exit"], draws: int = RANDOM_DRAWS, seed: int = 0
) -> Int[np.ndarray, "draw image"]:
    """Choices that send the same number of images to each exit, but any of them.

    Args:
        exit_counts: images that leave at each exit; their sum is the number of images.
        draws: how many.
        seed: the same seed draws the same.
    """
    generator = np.random.default_rng(seed)
    ordered = np.repeat(np.arange(len(exit_counts)), exit_counts)
    return np.stack([generator.permutation(ordered) for _ in range(draws)])


def random_ap(scorer: Scorer, choice: Int[np.ndarray, " image"], draws: int = RANDOM_DRAWS, seed: int = 0) -> float:
    """Mean AP of random choices with the exit rates, and so the mean cost, of a given choice."""
    counts = np.bincount(choice, minlength=len(scorer.exit_names))
    return float(np.mean([scorer.ap(drawn) for drawn in random_choices(counts, draws, seed)]))


def random_curve(scorer: Scorer, points: int = 9, draws: int = 20, seed: int = 0) -> Curve:
    """Mean AP of random choices over mean cost, along the best way to mix exits blindly.

    At each cost only the two exits next to it on the upper hull of the static points are mixed, so that a policy is
    never compared with a needlessly bad mixture.

    Args:
        scorer: of the trace.
        points: between two exits of the hull, both included.
        draws: per point.
        seed: of the draws.
    """
    hull = _hull(scorer)
    costs: list[float] = []
    aps: list[float] = []
    for cheap, dear in zip(hull[:-1], hull[1:], strict=True):
        for share in np.linspace(0, 1, points)[(1 if costs else 0) :]:
            counts = np.zeros(len(scorer.exit_names), np.int64)
            counts[dear] = round(share * scorer.images)
            counts[cheap] = scorer.images - counts[dear]
            costs.append(float(scorer.costs @ counts / scorer.images))
            aps.append(float(np.mean([scorer.ap(drawn) for drawn in random_choices(counts, draws, seed)])))
    if not costs:
        costs, aps = [float(scorer.costs[hull[0]])], [_static_ap(scorer, hull[0])]
    return Curve(np.array(costs), np.array(aps))


def greedy_oracle(scorer: Scorer, steps: int = ORACLE_STEPS, *, progress: bool = False) -> Oracle:
    """Sends images deeper one batch after the other, those first whose move gains most AP per cost.

    All images start at the cheapest exit. In each step the gain of every single move is estimated (`MoveEstimates`),
    and the moves with the highest gain per cost are made together; a move to a cheaper exit that gains comes first.
    The AP after each step is exact, and a batch that gains none is given up. No move is tried twice, so it ends.

    Args:
        scorer: of the trace.
        steps: about so many to the end; more are slower and a little better.
        progress: show a bar.
    """
    estimates = MoveEstimates(scorer.matches)
    batch = max(1, -(-scorer.images * (len(scorer.exit_names) - 1) // steps))
    choice = np.full(scorer.images, int(np.argmin(scorer.costs)))
    way = [(choice, scorer.mean_cost(choice), scorer.ap(choice))]
    tried = np.zeros(estimates.shape, bool)
    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("Greedy oracle", total=tried.size)
        while (moves := _most_worth(scorer, estimates.gains(choice), choice, tried, batch)).size:
            tried[moves[:, 1], moves[:, 0]] = True
            after = choice.copy()
            after[moves[:, 0]] = moves[:, 1]
            if (ap := scorer.ap(after)) > way[-1][2]:
                choice = after
                way.append((choice, scorer.mean_cost(choice), ap))
            bar.update(task, completed=int(tried.sum()))
        bar.update(task, completed=tried.size)
    choices, mean_costs, aps = zip(*way, strict=True)
    return Oracle(np.stack(choices), np.array(mean_costs), np.array(aps))


def routing_bounds(
    scorer: Scorer,
    choice: Int[np.ndarray, " image"],
    oracle: Oracle,
    draws: int = RANDOM_DRAWS,
    resamples: int = INTERVAL_RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> Bounds:
    """Where a policy stands between random and oracle at its own mean cost.

    Args:
        scorer: of the trace.
        choice: the policy's.
        oracle: see `greedy_oracle`.
        draws: of random choices.
        resamples: of the images, for the interval of the gap.
        seed: of draws and resamples.
        groups: of each image, where images belong together: whole groups are resampled.
    """
    counts = np.bincount(choice, minlength=len(scorer.exit_names))
    drawn = random_choices(counts, draws, seed)
    by_chance = float(np.mean([scorer.ap(each) for each in drawn]))
    best = oracle.choice_at(scorer.mean_cost(choice))
    ideal = oracle.curve.ap_at(scorer.mean_cost(choice))
    interval = _gap_interval(scorer, best, drawn, resamples, seed, groups)
    # Where even the oracle cannot be told from chance, a share of the gap is a share of noise.
    efficacy = (scorer.ap(choice) - by_chance) / (ideal - by_chance) if interval[0] > 0 and ideal > by_chance else None
    return Bounds(by_chance, ideal, efficacy, interval)


def _most_worth(
    scorer: Scorer, gains: np.ndarray, choice: np.ndarray, tried: np.ndarray, batch: int
) -> Int[np.ndarray, "move 2"]:
    """The moves with the highest gain per cost, best first: image and exit."""
    extra = scorer.costs[:, None] - scorer.costs[choice]
    moves = (gains > 0) & ~tried & (np.arange(len(gains))[:, None] != choice)
    # What gains and saves is taken first, whatever it saves.
    worth = np.divide(gains, extra, out=np.where(gains > 0, np.inf, 0.0), where=extra > 0)
    worth[~moves] = 0
    target = worth.argmax(axis=0)
    best = worth.max(axis=0)
    images = np.flatnonzero(best > 0)
    images = images[np.lexsort((-gains[target[images], images], -best[images]))][:batch]
    return np.stack([images, target[images]], axis=1)


def _hull(scorer: Scorer) -> list[int]:
    """Exits on the upper concave hull of AP over cost, cheapest first, up to the one with the highest AP."""
    aps = [_static_ap(scorer, index) for index in range(len(scorer.exit_names))]
    hull: list[int] = []
    for index in sorted(range(len(aps)), key=lambda index: (scorer.costs[index], -aps[index])):
        if hull and aps[index] <= aps[hull[-1]]:
            continue
        while len(hull) > 1 and _slope(scorer, aps, hull[-2], hull[-1]) <= _slope(scorer, aps, hull[-1], index):
            hull.pop()
        hull.append(index)
    return hull


def _slope(scorer: Scorer, aps: list[float], cheap: int, dear: int) -> float:
    return (aps[dear] - aps[cheap]) / float(scorer.costs[dear] - scorer.costs[cheap])


def _static_ap(scorer: Scorer, index: int) -> float:
    return scorer.ap(np.full(scorer.images, index))


def _gap_interval(
    scorer: Scorer, best: np.ndarray, drawn: np.ndarray, resamples: int, seed: int, groups: Groups | None
) -> tuple[float, float]:
    if resamples < 1:
        raise UserError(f"resamples must be at least 1, got {resamples}")
    oracle = scorer.mixture.choose(best)
    gaps = []
    for index, weights in enumerate(resampled_weights(scorer.images, resamples, seed, groups)):
        by_chance = scorer.ap(drawn[index % len(drawn)], weights)
        gaps.append(average_precision(oracle, weights) - by_chance)
    low, high = np.nanquantile(gaps, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return float(low), float(high)
