"""Cross-fitting: on a small set, every image decided by a policy that was tuned without it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int

from cascade_exit.data.randomness import unit_hash
from cascade_exit.evaluation import (
    DetectionArrays,
    Matches,
    average_precision,
    bootstrap_interval,
    match_detections,
    relative_drop_interval,
)
from cascade_exit.evaluation.intervals import Interval
from cascade_exit.policies.pooling import Calibrations, calibrated_matches, calibrated_scores
from cascade_exit.policies.scoring import Costs, Score, Static, cost_array, relative_drop
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

FOLDS = 5
RESAMPLES = 1000


class Tuned(Protocol):
    """What tuning gives: a policy."""

    @property
    def calibration(self) -> Calibrations:
        """Of the scores, by exit name."""

    def choose(self, trace: Trace) -> Int[np.ndarray, " image"]:
        """Index of each image's exit."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Every image decided without knowing it.

    Attributes:
        choice: index of each image's exit.
        folds: that each image was left out with.
        matches: the chosen, calibrated detections, matched.
        score: of the choice; drop and speedup against the baseline.
        ap_interval: under resampling of the images.
        relative_ap_drop_interval: policy and baseline on the same resampled images.
    """

    choice: Int[np.ndarray, " image"]
    folds: Int[np.ndarray, " image"]
    matches: Matches
    score: Score
    ap_interval: Interval | None
    relative_ap_drop_interval: Interval | None


def fold_of(group: int | str, folds: int = FOLDS) -> int:
    """Fold of an image or of a group of images: a function of its name alone."""
    return int(unit_hash("crossfit", group) * folds)


def crossfit(
    trace: Trace,
    tune: Callable[[Trace], Tuned],
    costs: Costs,
    *,
    folds: int = FOLDS,
    groups: Sequence[str] | None = None,
    baseline: Static | None = None,
    calibration: Calibrations | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CrossFit:
    """Tunes once per fold on all other folds, and lets each policy decide about its fold.

    The figures are those of the way of tuning, not of one policy.

    Args:
        trace: of the set that is too small to be split.
        tune: makes a policy from a trace; it sees only the images that it gets.
        costs: of an image that leaves at each exit.
        folds: how many.
        groups: of each image, where images belong together (a video, a burst): they share a fold. Its id otherwise.
        baseline: a static model on the same images; the last exit where None.
        calibration: of the scores in the pool, one for all folds; each fold's own where None. Calibrations of their own
            put the folds on scales that differ by chance, which costs AP that no single policy would lose; one for all
            has seen the images, though it decides nothing about them.
        resamples: of the images, for the intervals; 0: no intervals.
        seed: of the resamples.

    Raises:
        UserError: fewer than two folds hold an image.
    """
    names = groups if groups is not None else [image.image_id for image in trace.truth]
    fold = np.array([fold_of(name, folds) for name in names], np.int64)
    if np.unique(fold).size < 2:
        raise UserError(
            f"cross-fitting: {len(trace)} images fall into fewer than two of {folds} folds; use more images"
        )
    choice = np.full(len(trace), -1)
    answers: dict[int, DetectionArrays] = {}
    for left_out in np.unique(fold):
        policy = tune(trace.subset(np.flatnonzero(fold != left_out)))
        places = np.flatnonzero(fold == left_out)
        own = trace.subset(places)
        choice[places] = policy.choose(own)
        used = policy.calibration if calibration is None else calibration
        answers |= _answers(own, choice[places], used)
    matches = match_detections(trace.truth, answers, trace.header.classes)
    by_exit = cost_array(trace.header.exit_names, costs)
    full = trace.header.exit_names[-1]
    static = baseline or Static(full, calibrated_matches(trace, full), float(by_exit[-1]))
    return CrossFit(
        choice=choice,
        folds=fold,
        matches=matches,
        score=_score(trace.header.exit_names, choice, matches, by_exit, static),
        ap_interval=bootstrap_interval(matches, resamples=resamples, seed=seed) if resamples else None,
        relative_ap_drop_interval=(
            relative_drop_interval(matches, static.matches, resamples=resamples, seed=seed) if resamples else None
        ),
    )


def _answers(trace: Trace, choice: np.ndarray, calibration: Calibrations) -> dict[int, DetectionArrays]:
    """Detections of each image's exit, calibrated, by image id."""
    answers = {}
    for index, name in enumerate(trace.header.exit_names):
        table = trace.exits[name].detections
        scores = calibrated_scores(table, calibration.get(name))
        for place in np.flatnonzero(choice == index):
            rows = slice(table.offsets[place], table.offsets[place + 1])
            arrays = DetectionArrays(table.boxes[rows], scores[rows], table.labels[rows])
            answers[trace.truth[place].image_id] = arrays
    return answers


def _score(exit_names: Sequence[str], choice: np.ndarray, matches: Matches, costs: np.ndarray, static: Static) -> Score:
    rates = np.bincount(choice, minlength=len(exit_names)) / choice.size
    ap, mean_cost = average_precision(matches), float(costs[choice].mean())
    return Score(
        exit_rates=dict(zip(exit_names, rates.tolist(), strict=True)),
        ap=ap,
        ap50=average_precision(matches, measure="AP50"),
        mean_cost=mean_cost,
        speedup=static.cost / mean_cost,
        relative_ap_drop=relative_drop(ap, average_precision(static.matches)),
    )
