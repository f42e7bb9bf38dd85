"""What moving an image to another exit gains in AP, to first order, for all images and exits in one sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation import ClassMatches, Matches


@dataclass(frozen=True, eq=False)
class _Ranking:
    """One class's detections of all exits, best score first.

    Attributes:
        images: of each row.
        exits: of each row.
        counts: 1 where the row is a false positive unless its match says otherwise.
        candidates: rows that overlap an object.
        correct: the candidate is a true positive.
        counted: the candidate is a true or a false positive.
        objects: to be found.
    """

    images: Int[np.ndarray, " row"]
    exits: Int[np.ndarray, " row"]
    counts: Int[np.ndarray, " row"]
    candidates: Int[np.ndarray, " candidate"]
    correct: Bool[np.ndarray, "threshold candidate"]
    counted: Bool[np.ndarray, "threshold candidate"]
    objects: int


class MoveEstimates:
    """Gains in AP of single moves, estimated from what each detection is worth where it ranks.

    A false positive lowers the precision of all true positives below it, a true positive adds its own precision and
    raises theirs. The sum over the detections that come, minus the sum over those that go, is the gain of a move
    without the interaction among them. Precision is taken as it is, not as the highest at or beyond a recall: that
    would change little. `SingleMoves` counts the same exactly, at a hundred times the cost.

    Args:
        matches_by_exit: one per exit, on the same images and classes.
    """

    def __init__(self, matches_by_exit: Sequence[Matches]) -> None:
        self.shape = (len(matches_by_exit), matches_by_exit[0].image_ids.size)
        by_class = zip(*(matches.classes for matches in matches_by_exit), strict=True)
        self._classes = [_rank(parts) for parts in by_class if parts[0].truth_count[0].sum()]

    def gains(self, choice: Int[np.ndarray, " image"]) -> Float[np.ndarray, "exit image"]:
        """Estimated change of AP when one image is answered by an exit and all others by their own.

        Args:
            choice: index of the exit of every image.
        """
        worth = np.zeros(self.shape)
        for ranking in self._classes:
            place = ranking.exits * self.shape[1] + ranking.images
            worth += np.bincount(place, _worth(ranking, choice), worth.size).reshape(self.shape) / len(self._classes)
        return worth - worth[choice, np.arange(choice.size)]


def _rank(parts: tuple[ClassMatches, ...]) -> _Ranking:
    images = np.concatenate([part.images for part in parts])
    order = np.lexsort((images, -np.concatenate([part.scores for part in parts])))
    row_of = np.empty_like(order)
    row_of[order] = np.arange(order.size)
    offsets = np.cumsum([0, *(part.scores.size for part in parts[:-1])])
    candidates = row_of[np.concatenate([part.candidates + at for part, at in zip(parts, offsets, strict=True)])]
    by_row = np.argsort(candidates)
    return _Ranking(
        images[order],
        np.repeat(np.arange(len(parts)), [part.scores.size for part in parts])[order],
        np.concatenate([part.in_area[0] for part in parts])[order].astype(np.int64),
        candidates[by_row],
        np.concatenate([part.correct[0] for part in parts], axis=1)[:, by_row],
        np.concatenate([part.counted[0] for part in parts], axis=1)[:, by_row],
        int(parts[0].truth_count[0].sum()),
    )


def _worth(ranking: _Ranking, choice: np.ndarray) -> Float[np.ndarray, " row"]:
    """What each detection adds to the AP if it is there, mean over the thresholds."""
    own = ranking.exits == choice[ranking.images]
    there = own[ranking.candidates]
    found = np.cumsum(ranking.correct & there, axis=1)
    change = (ranking.counted.astype(np.int64) - ranking.counts[ranking.candidates]) * there
    positives = np.cumsum(own * ranking.counts)[ranking.candidates] + np.cumsum(change, axis=1)
    # What one more false positive above takes from each true positive's precision, and one more true positive adds.
    share = np.where(ranking.correct & there, 1 / np.maximum(positives * (positives + 1), 1), 0.0) / ranking.objects
    harm = _sums_from(share * found)
    help_ = _sums_from(share * (positives - found))

    worth = -harm.mean(axis=0)[np.searchsorted(ranking.candidates, np.arange(own.size))] * ranking.counts
    if_there = (found + ~there) / np.maximum(positives + ~there, 1)
    adds = if_there / ranking.objects + help_[:, 1:]
    of_candidate = np.where(ranking.correct, adds, np.where(ranking.counted, -harm[:, 1:], 0.0))
    worth[ranking.candidates] = of_candidate.mean(axis=0)
    return worth


def _sums_from(values: np.ndarray) -> np.ndarray:
    """Sum of the values from each column on, and 0 at the end."""
    sums = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    return np.pad(sums, ((0, 0), (0, 1)))
