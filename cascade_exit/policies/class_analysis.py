"""Class by class: AP of every exit, who leaves early, what going on gains, what a policy costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation import Matches, percentile_interval, resampled_weights
from cascade_exit.evaluation.claims import signs_beyond_chance, standard_errors
from cascade_exit.evaluation.class_averages import ClassAverages, Weights, class_averages
from cascade_exit.evaluation.intervals import Groups
from cascade_exit.policies.reporting import Answers, Figures, relative_drops

# Classes with less than this get figures and intervals, but nothing is claimed of them: a percentile interval over
# few groups is too narrow, and one box moves AP by some hundredths.
LEAST_BOXES = 30
LEAST_GROUPS = 10

Curves = dict[str, Float[np.ndarray, "set class_"]]


@dataclass(frozen=True, eq=False)
class Analysed:
    """What is analysed, all of it on the same images.

    Attributes:
        exits: matches of every exit answering for all images, from shallow to deep.
        groups: of each image: whole groups are resampled.
        resamples: for the intervals; 0: neither intervals nor claims.
        answers: of the policy, if there is one.
        baseline: matches of the static model that drops are also measured against, if one was named.
    """

    exits: Mapping[str, Matches]
    groups: Groups
    resamples: int
    answers: Answers | None = None
    baseline: Matches | None = None

    @property
    def full(self) -> Matches:
        """Of the last exit."""
        return list(self.exits.values())[-1]

    @property
    def early(self) -> tuple[str, ...]:
        """Names of the exits before the last."""
        return tuple(self.exits)[:-1]

    @property
    def holds(self) -> Bool[np.ndarray, "class_ image"]:
        """Whether an image holds an object of a class; crowds are no objects."""
        return np.stack([of_class.truth_count[0] > 0 for of_class in self.full.classes])


def analyse_classes(analysed: Analysed) -> Figures:
    """The parts of metrics.json about classes: classes, class_drop, class_claims.

    Every figure is taken on the set itself and on the same resampled sets, so that differences are paired. Intervals
    hold 95 % of the resamples, each by itself; claims hold for all classes at once (see `signs_beyond_chance`).

    Returns:
        Figures that cannot be computed are absent; so are classes without an object.
    """
    weights = _sets(analysed)
    holds = analysed.holds
    curves = _curves(analysed, weights, holds)
    boxes = np.array([int(of_class.truth_count[0].sum()) for of_class in analysed.full.classes])
    few = (boxes < LEAST_BOXES) | (_groups(analysed, holds) < LEAST_GROUPS)
    classes: Figures = {}
    for index, name in enumerate(analysed.full.class_names):
        if boxes[index]:
            facts = {"boxes": int(boxes[index]), "images": int(holds[index].sum()), "few": bool(few[index])}
            classes[name] = facts | _of_class(curves, index, bool(analysed.resamples))
    figures: Figures = {"classes": classes}
    if drops := {
        path.removeprefix("drop."): _spread(curve[:, ~few])
        for path, curve in curves.items()
        if path.startswith("drop.") and np.isfinite(curve[0, ~few]).sum() > 1
    }:
        figures["class_drop"] = drops
    if analysed.resamples and (claims := _claims(analysed, weights, curves, few)):
        figures["class_claims"] = claims
    return figures


def _sets(analysed: Analysed) -> Weights:
    """The set itself, then its resamples."""
    images = analysed.full.image_ids.size
    drawn = resampled_weights(images, analysed.resamples, groups=analysed.groups) if analysed.resamples else ()
    return np.stack([np.ones(images, np.int64), *drawn])


def _curves(analysed: Analysed, weights: Weights, holds: Bool[np.ndarray, "class_ image"]) -> Curves:
    """Figures of all classes on all sets, by path."""
    curves: Curves = {}
    exits = {name: class_averages(matches, weights) for name, matches in analysed.exits.items()}
    full = exits[tuple(exits)[-1]]
    for name, averages in exits.items():
        curves |= _both(f"exits.{name}", averages)
    for name in analysed.early:
        curves[f"gain.{name}"] = full.ap - exits[name].ap
    baseline = class_averages(analysed.baseline, weights) if analysed.baseline is not None else None
    if baseline is not None:
        curves |= _both("baseline", baseline)
    if analysed.answers is None:
        return curves
    policy, choice = class_averages(analysed.answers.matches, weights), analysed.answers.choice
    curves |= _both("policy", policy) | {"drop.full": relative_drops(policy.ap, full.ap)}
    if baseline is not None:
        curves["drop.baseline"] = relative_drops(policy.ap, baseline.ap)
    for place, name in enumerate(analysed.exits):
        curves[f"exit_rates.{name}"] = _shares(weights, holds, choice == place)
    curves["early"] = 1 - curves[f"exit_rates.{tuple(exits)[-1]}"]
    for place, name in enumerate(analysed.early):
        left = choice == place
        of_full, of_exit = (
            class_averages(matches, weights * left) for matches in (analysed.full, analysed.exits[name])
        )
        enough = _groups(analysed, holds & left) >= LEAST_GROUPS
        curves[f"gain_where_left.{name}"] = np.where(enough, of_full.ap - of_exit.ap, np.nan)
    return curves


def _groups(analysed: Analysed, images: Bool[np.ndarray, "class_ image"]) -> Int[np.ndarray, " class_"]:
    """How many groups some images of each class are of."""
    groups = np.asarray(analysed.groups)
    return np.array([np.unique(groups[of_class]).size for of_class in images], np.int64)


def _both(path: str, averages: ClassAverages) -> Curves:
    return {f"{path}.AP": averages.ap, f"{path}.AP50": averages.ap50}


def _shares(weights: Weights, holds: np.ndarray, left: np.ndarray) -> Float[np.ndarray, "set class_"]:
    """Share of the images that hold each class that left."""
    held = (weights @ holds.T).astype(np.float64)
    return np.divide(weights @ (holds & left).T, held, out=np.full(held.shape, np.nan), where=held > 0)


def _of_class(curves: Curves, index: int, with_intervals: bool) -> Figures:
    figures: Figures = {}
    intervals: dict[str, tuple[float, float]] = {}
    for path, curve in curves.items():
        if not np.isfinite(curve[0, index]):
            continue
        *parents, key = path.split(".")
        place: dict[str, Any] = figures
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = float(curve[0, index])
        if with_intervals and (interval := percentile_interval(curve[1:, index])) is not None:
            intervals[path] = interval
    return figures | ({"intervals": intervals} if intervals else {})


def _spread(drops: Float[np.ndarray, "set class_"]) -> Figures:
    """How far the classes' drops lie apart, and how far they would if all were the same and only chance differed."""
    present = np.isfinite(drops[0])
    own = drops[0, present]
    names = ("min", "quartile1", "median", "quartile3", "max")
    figures: Figures = {"classes": int(own.size), "mean": float(own.mean()), "std": float(own.std(ddof=1))}
    figures |= dict(zip(names, np.quantile(own, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))
    if len(drops) > 2:
        figures["std_by_chance"] = float(np.sqrt(np.mean(standard_errors(drops[1:, present]) ** 2)))
    return figures


def _claims(analysed: Analysed, weights: Weights, curves: Curves, few: Bool[np.ndarray, " class_"]) -> Figures:
    """Which classes differ from what they are compared with, beyond chance, all classes taken together."""
    names = analysed.full.class_names
    claims: Figures = {}
    gains = {name: _beyond_chance(curves[f"gain.{name}"], few, names) for name in analysed.early}
    if gains:
        claims["gain"] = gains
    if analysed.answers is not None:
        early = analysed.answers.choice < len(analysed.exits) - 1
        average = _shares(weights, analysed.holds.max(axis=0, keepdims=True), early)
        claims["early"] = {"average": float(average[0, 0])} | _beyond_chance(curves["early"] - average, few, names)
        drop = curves[f"exits.{tuple(analysed.exits)[-1]}.AP"] - curves["policy.AP"]
        claims["drop"] = _beyond_chance(drop, few, names)
    return claims


def _beyond_chance(
    differences: Float[np.ndarray, "set class_"], few: Bool[np.ndarray, " class_"], names: Sequence[str]
) -> dict[str, list[str]]:
    """Classes whose difference lies above and below zero, the largest first."""
    own = np.where(few, np.nan, differences[0])
    signs = signs_beyond_chance(own, differences[1:])
    order = np.argsort(-np.nan_to_num(own), kind="stable")
    return {
        "above": [names[index] for index in order if signs[index] > 0],
        "below": [names[index] for index in order[::-1] if signs[index] < 0],
    }
