"""A choice of exits as metrics.json reports it: figures, intervals, references, kinds of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation import Matches, Measure, average_precisions, percentile_interval, resampled_weights
from cascade_exit.evaluation.intervals import Groups, Interval
from cascade_exit.policies.references import greedy_oracle, routing_bounds
from cascade_exit.policies.scoring import Scorer, relative_drop

Figures = dict[str, Any]
BOTH: tuple[Measure, ...] = ("AP", "AP50")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a way of stopping answered on a set, and what it paid.

    Attributes:
        matches: of the detections that it gave.
        choice: index of each image's exit.
        costs: of an image that leaves at each exit, in MACs.
    """

    matches: Matches
    choice: Int[np.ndarray, " image"]
    costs: Float[np.ndarray, " exit"]

    @property
    def mean_cost(self) -> float:
        """MACs per image."""
        return float(self.costs[self.choice].mean())


@dataclass(frozen=True, eq=False)
class Static:
    """The static model that drop and speedup are measured against, on the same images.

    Attributes:
        name: its run; `full` for the model's own last exit.
        matches: of its detections.
        macs: of an image.
    """

    name: str
    matches: Matches
    macs: int

    def figures(self) -> Figures:
        """The part of metrics.json about the baseline."""
        return {"run": self.name, **present(average_precisions(self.matches, measures=BOTH)), "macs": self.macs}


def present(figures: Mapping[Any, float]) -> dict[str, float]:
    """Figures without those that are no number: what is not there is absent."""
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def answer_figures(answers: Answers, exit_names: Sequence[str], static: Static) -> Figures:
    """AP, cost and exit rates of a way of stopping, and both against the baseline."""
    aps = average_precisions(answers.matches, measures=BOTH)
    baseline = average_precisions(static.matches, measures=("AP",))
    speedup = static.macs / answers.mean_cost
    return {
        **present(aps),
        **present({"relative_ap_drop": relative_drop(aps["AP"], baseline["AP"])}),
        "exit_rates": exit_rates(answers.choice, exit_names),
        "macs": answers.mean_cost,
        "speedup_macs": speedup,
        "macs_reduction": 1 - 1 / speedup,
    }


def exit_rates(choice: Int[np.ndarray, " image"], exit_names: Sequence[str]) -> dict[str, float]:
    """Share of the images that leave at each exit."""
    counts = np.bincount(choice, minlength=len(exit_names))
    return dict(zip(exit_names, (counts / choice.size).tolist(), strict=True))


def answer_intervals(
    answers: Answers, static: Static, resamples: int, groups: Groups | None = None, seed: int = 0
) -> dict[str, Interval]:
    """95 % intervals of a way of stopping, policy and baseline always on the same resampled images.

    Args:
        answers: what it answered.
        static: the baseline.
        resamples: sets of images drawn.
        groups: of each image, where images belong together.
        seed: of the draws.

    Returns:
        By name of the figure; one that cannot be computed is absent.
    """
    rows = []
    for weights in resampled_weights(answers.choice.size, resamples, seed, groups):
        own = average_precisions(answers.matches, weights, BOTH)
        baseline = average_precisions(static.matches, weights, ("AP",))["AP"]
        mean_cost = (answers.costs[answers.choice] * weights).sum() / weights.sum()
        rows.append((own["AP"], own["AP50"], relative_drop(own["AP"], baseline), static.macs / mean_cost))
    names = ("AP", "AP50", "relative_ap_drop", "speedup_macs")
    columns = np.array(rows, np.float64).reshape(-1, len(names)).T
    intervals = {name: percentile_interval(column) for name, column in zip(names, columns, strict=True)}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def bounds_figures(
    scorer: Scorer, choice: Int[np.ndarray, " image"], groups: Groups | None = None, progress: bool = False
) -> tuple[Figures, Interval]:
    """The references of a policy at its own mean cost.

    Returns:
        The part of metrics.json about bounds, and the interval of oracle - random.
    """
    bounds = routing_bounds(scorer, choice, greedy_oracle(scorer, progress=progress), groups=groups)
    figures: Figures = {"oracle_AP": bounds.oracle_ap, "random_AP": bounds.random_ap}
    if bounds.efficacy is not None:
        figures["efficacy"] = bounds.efficacy
    return figures, bounds.gap_interval


def figures_by_kind(
    by_name: Mapping[str, Matches],
    kinds: Mapping[str, Mapping[str, Bool[np.ndarray, " image"]]],
    choice: Int[np.ndarray, " image"] | None = None,
    exit_names: Sequence[str] = (),
) -> dict[str, dict[str, Figures]]:
    """Figures on the images of each kind.

    Args:
        by_name: matches of each exit, and of the policy.
        kinds: see `image_kinds`.
        choice: of the policy.
        exit_names: what its numbers mean.
    """
    return {
        name: {kind: figures_on(by_name, mask, choice, exit_names) for kind, mask in masks.items()}
        for name, masks in kinds.items()
    }


def figures_on(
    by_name: Mapping[str, Matches],
    mask: Bool[np.ndarray, " image"],
    choice: Int[np.ndarray, " image"] | None = None,
    exit_names: Sequence[str] = (),
) -> Figures:
    """AP and AP50 on some of the images, by name, their number, and how many of them leave where."""
    figures: Figures = {"images": int(mask.sum())}
    figures |= {name: present(average_precisions(found, mask, BOTH)) for name, found in by_name.items()}
    if choice is not None:
        figures["exit_rates"] = exit_rates(choice[mask], exit_names)
    return figures
