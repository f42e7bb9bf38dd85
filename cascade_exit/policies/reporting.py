"""A choice of exits as metrics.json reports it: figures, intervals, references, kinds of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation import Matches, Measure, average_precisions, percentile_interval, resampled_weights
from cascade_exit.evaluation.class_averages import class_averages, mean_over_classes
from cascade_exit.evaluation.intervals import Groups, Interval
from cascade_exit.policies.references import greedy_oracle, routing_bounds
from cascade_exit.policies.scoring import Scorer, Static, relative_drop

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


def present(figures: Mapping[Any, float]) -> dict[str, float]:
    """Figures without those that are no number: what is not there is absent."""
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def static_figures(static: Static) -> Figures:
    """The part of metrics.json about the baseline, whose cost is in MACs."""
    return {"run": static.name, **present(average_precisions(static.matches, measures=BOTH)), "macs": static.cost}


def answer_figures(answers: Answers, exit_names: Sequence[str], static: Static) -> Figures:
    """AP, cost and exit rates of a way of stopping, and both against the baseline."""
    aps = average_precisions(answers.matches, measures=BOTH)
    baseline = average_precisions(static.matches, measures=("AP",))
    speedup = static.cost / answers.mean_cost
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
    weights = np.stack(list(resampled_weights(answers.choice.size, resamples, seed, groups)))
    own = class_averages(answers.matches, weights)
    ap, baseline = mean_over_classes(own.ap), mean_over_classes(class_averages(static.matches, weights).ap)
    mean_costs = weights @ answers.costs[answers.choice] / weights.sum(axis=1)
    return known_intervals(
        {
            "AP": ap,
            "AP50": mean_over_classes(own.ap50),
            "relative_ap_drop": relative_drops(ap, baseline),
            "speedup_macs": static.cost / mean_costs,
        }
    )


def exit_intervals(
    by_name: Mapping[str, Matches], resamples: int, groups: Groups | None = None, seed: int = 0
) -> dict[str, Interval]:
    """95 % intervals of AP and AP50 by name and measure, such as `exit1.AP`; arguments as for `answer_intervals`."""
    intervals: dict[str, Interval] = {}
    for name, matches in by_name.items():
        weights = np.stack(list(resampled_weights(matches.image_ids.size, resamples, seed, groups)))
        of_classes = class_averages(matches, weights)
        pooled = {"AP": mean_over_classes(of_classes.ap), "AP50": mean_over_classes(of_classes.ap50)}
        intervals |= {f"{name}.{key}": interval for key, interval in known_intervals(pooled).items()}
    return intervals


def known_intervals(resampled: Mapping[str, Float[np.ndarray, " resample"]]) -> dict[str, Interval]:
    """95 % intervals of those figures that can be computed on a resample at all."""
    intervals = {name: percentile_interval(values) for name, values in resampled.items()}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def relative_drops(
    aps: Float[np.ndarray, "*shape"], references: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """(reference - AP) / reference of many; NaN where the reference finds nothing."""
    return 1 - np.divide(aps, references, out=np.full(aps.shape, np.nan), where=references > 0)


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
    drop: "DropOn | None" = None,
) -> dict[str, dict[str, Figures]]:
    """Figures on the images of each kind.

    Args:
        by_name: matches of each exit, and of the policy.
        kinds: see `image_kinds`.
        choice: of the policy.
        exit_names: what its numbers mean.
        drop: what the policy's drop is measured with, where there is a policy.
    """
    return {
        name: {
            kind: figures_on(by_name, mask, choice, exit_names) | (drop.figures(mask) if drop else {})
            for kind, mask in masks.items()
        }
        for name, masks in kinds.items()
    }


@dataclass(frozen=True, eq=False)
class DropOn:
    """The relative AP drop of a policy on some of the images.

    Attributes:
        policy: matches of its detections.
        baseline: of the static model's.
        resamples: for the interval; 0: none.
        groups: of each image, where images belong together.
    """

    policy: Matches
    baseline: Matches
    resamples: int
    groups: Groups

    def figures(self, mask: Bool[np.ndarray, " image"]) -> Figures:
        """The drop and its interval; absent where there is nothing to be found."""
        images = mask.size
        drawn = resampled_weights(images, self.resamples, groups=self.groups) if self.resamples else ()
        weights = np.stack([np.ones(images, np.int64), *drawn]) * mask
        aps = [mean_over_classes(class_averages(side, weights).ap) for side in (self.policy, self.baseline)]
        drops = relative_drops(*aps)
        intervals = known_intervals({"relative_ap_drop": drops[1:]})
        return present({"relative_ap_drop": float(drops[0])}) | ({"intervals": intervals} if intervals else {})


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
