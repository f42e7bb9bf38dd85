"""What it does to the average precision of a whole set when one image is answered by another exit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation import ClassMatches, Matches

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
# Numbers per step (images x thresholds x candidates); bounds the memory.
_NUMBERS_PER_STEP = 1_000_000


@dataclass(frozen=True)
class _MergedClass:
    """One class's detections of all exits, best score first, and those on which precision depends.

    Attributes:
        images: of each row.
        exits: of each row.
        counts: whether the row can be a false positive (its area is no matter of doubt).
        candidates: rows that find an object, or a crowd, at some threshold.
        correct: the candidate is a true positive.
        change: what the candidate's match changes in the count of positives.
        level_weights: share of the recall levels that are first reached with so many objects found.
    """

    images: Int[np.ndarray, " row"]
    exits: Int[np.ndarray, " row"]
    counts: Int[np.ndarray, " row"]
    candidates: Int[np.ndarray, " candidate"]
    correct: Bool[np.ndarray, "threshold candidate"]
    change: Int[np.ndarray, "threshold candidate"]
    level_weights: Float[np.ndarray, " found"]


class SingleMoves:
    """AP after each image alone is moved to another exit, for all images at once.

    Equal to `mixture_ap` of every changed choice up to rounding, but what the other images contribute is counted
    once for all of them.

    Args:
        matches_by_exit: one per exit, on the same images and classes.
        images: the set consists of these alone; all where None.
    """

    def __init__(self, matches_by_exit: Sequence[Matches], images: Bool[np.ndarray, " image"] | None = None) -> None:
        count = matches_by_exit[0].image_ids.size
        self.images = np.ones(count, dtype=bool) if images is None else images
        by_class = zip(*(matches.classes for matches in matches_by_exit), strict=True)
        merged = (_merge(parts, self.images) for parts in by_class)
        self._classes = [each for each in merged if each is not None]

    def ap(self, choice: Int[np.ndarray, " image"], to: int) -> Float[np.ndarray, " image"]:
        """AP of the set when one image is answered by an exit and all others by their own.

        Args:
            choice: index of the exit of every image.
            to: index of the exit that the one image is moved to.

        Returns:
            For each image that may be moved; NaN where the set holds nothing to be found.
        """
        if not self._classes:
            return np.full(choice.size, np.nan)
        return np.mean([_class_ap(each, choice, to) for each in self._classes], axis=0)


def marginal_gains(
    matches_by_exit: Sequence[Matches],
    start: int,
    to: int,
    contexts: int = 4,
    seed: int = 0,
    images: Bool[np.ndarray, " image"] | None = None,
) -> Float[np.ndarray, " image"]:
    """What the AP of the set gains when one image moves to a deeper exit, others left where they are.

    This is the reward ORIC (Qiu et al., Optimizing Edge Offloading Decisions for Object Detection, SEC 2024), taken
    in several contexts: which policy will decide about the other images is not known yet, so their exits are drawn
    with equal chance, and the gains are averaged over the draws.

    Args:
        matches_by_exit: one per exit.
        start: index of the exit that the image leaves.
        to: index of the exit that it moves to.
        contexts: how many times the other images' exits are drawn.
        seed: of the draws.
        images: the set consists of these alone; all where None.

    Returns:
        Gain times the number of images, so that it does not shrink as the set grows; 0 outside `images`.
    """
    moves = SingleMoves(matches_by_exit, images)
    generator = np.random.default_rng(seed)
    total = np.zeros(moves.images.size)
    for _ in range(contexts):
        choice = generator.integers(len(matches_by_exit), size=moves.images.size)
        total += moves.ap(choice, to) - moves.ap(choice, start)
    return np.where(moves.images, total / contexts * moves.images.sum(), 0.0)


def _merge(parts: tuple[ClassMatches, ...], images: np.ndarray) -> _MergedClass | None:
    """None where there is nothing to be found."""
    objects = int(parts[0].truth_count[0] @ images)
    if objects == 0:
        return None
    of_row = np.concatenate([part.images for part in parts])
    exits = np.repeat(np.arange(len(parts)), [part.scores.size for part in parts])
    # Stable, so that equal scores of one image and exit keep their order.
    order = np.lexsort((of_row, -np.concatenate([part.scores for part in parts])))
    order = order[images[of_row[order]]]
    row_of = np.full(of_row.size, -1)
    row_of[order] = np.arange(order.size)
    counts = np.concatenate([part.in_area[0] for part in parts])[order].astype(np.int64)

    offsets = np.cumsum([0, *(part.scores.size for part in parts[:-1])])
    rows = row_of[np.concatenate([part.candidates + at for part, at in zip(parts, offsets, strict=True)])]
    correct = np.concatenate([part.correct[0] for part in parts], axis=1)
    counted = np.concatenate([part.counted[0] for part in parts], axis=1)
    change = counted.astype(np.int64) - counts[rows] if counts.size else np.zeros(counted.shape, np.int64)
    # A candidate that finds nothing counts as any other false positive: by its row.
    matters = (rows >= 0) & (correct.any(axis=0) | change.any(axis=0))
    by_row = np.flatnonzero(matters)[np.argsort(rows[matters])]
    return _MergedClass(
        of_row[order],
        exits[order],
        counts,
        rows[by_row],
        correct[:, by_row],
        change[:, by_row],
        _level_weights(objects),
    )


def _level_weights(objects: int) -> np.ndarray:
    reached_with = np.searchsorted(np.arange(1, objects + 1) / objects, RECALL_LEVELS, side="left") + 1
    return np.bincount(reached_with, minlength=objects + 1) / RECALL_LEVELS.size


def _class_ap(merged: _MergedClass, choice: np.ndarray, to: int) -> Float[np.ndarray, " image"]:
    own = merged.exits == choice[merged.images]
    coming = (merged.exits == to) & ~own
    moved = np.unique(merged.images[coming | (own & (choice != to)[merged.images])])
    possible = (own | coming)[merged.candidates]
    merged = _of_candidates(merged, possible)
    rank = np.cumsum(own * merged.counts)[merged.candidates]
    base = _curves_ap(merged, own[merged.candidates][None], rank[None])[0]
    ap = np.full(choice.size, base)
    step = max(_NUMBERS_PER_STEP // max(merged.correct.size, 1), 1)
    for begin in range(0, moved.size, step):
        places = moved[begin : begin + step]
        ap[places] = _curves_ap(merged, *_after_moves(merged, own, coming, rank, choice, to, places))
    return ap


def _of_candidates(merged: _MergedClass, keep: np.ndarray) -> _MergedClass:
    return _MergedClass(
        merged.images,
        merged.exits,
        merged.counts,
        merged.candidates[keep],
        merged.correct[:, keep],
        merged.change[:, keep],
        merged.level_weights,
    )


def _after_moves(
    merged: _MergedClass,
    own: np.ndarray,
    coming: np.ndarray,
    rank: np.ndarray,
    choice: np.ndarray,
    to: int,
    places: np.ndarray,
) -> tuple[Bool[np.ndarray, "place candidate"], Int[np.ndarray, "place candidate"]]:
    """Which candidates are there, and their ranks, after each of some images alone has moved."""
    index = np.full(choice.size, -1)
    index[places] = np.arange(places.size)
    rows = np.flatnonzero((index[merged.images] >= 0) & (coming | (own & (choice != to)[merged.images])))
    later = np.searchsorted(merged.candidates, rows, side="left")
    shift = np.zeros((places.size, merged.candidates.size + 1), np.int64)
    np.add.at(shift, (index[merged.images[rows]], later), np.where(coming[rows], 1, -1) * merged.counts[rows])
    ranks = rank + np.cumsum(shift, axis=1)[:, :-1]

    kept = np.repeat(own[merged.candidates][None], places.size, axis=0)
    of_moved = index[merged.images[merged.candidates]]
    column = np.flatnonzero(of_moved >= 0)
    kept[of_moved[column], column] = merged.exits[merged.candidates[column]] == to
    return kept, ranks


def _curves_ap(
    merged: _MergedClass, kept: Bool[np.ndarray, "case candidate"], ranks: Int[np.ndarray, "case candidate"]
) -> Float[np.ndarray, " case"]:
    """Interpolated AP of the class, mean over the overlap thresholds, of several cases."""
    correct = merged.correct & kept[:, None, :]
    found = np.cumsum(correct, axis=2, dtype=np.int32)
    positives = ranks[:, None, :].astype(np.float64)
    if merged.change.any():
        positives = positives + np.cumsum(merged.change * kept[:, None, :], axis=2)
    precision = np.where(correct, found / (positives + np.spacing(1)), 0.0)
    best_beyond = np.maximum.accumulate(precision[:, :, ::-1], axis=2)[:, :, ::-1]
    levels = np.where(correct, merged.level_weights[found], 0.0)
    return np.einsum("ctk,ctk->ct", levels, best_beyond).mean(axis=1)
