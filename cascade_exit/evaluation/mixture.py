"""The detections that remain when every image stops at an exit of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cascade_exit.evaluation.average_precision import ImageWeights, Measure, average_precision
from cascade_exit.evaluation.matching import ClassMatches, Matches


@dataclass(frozen=True)
class _MergedClass:
    """All exits' detections of one class in one order, and the exit that each row and each candidate is of."""

    rows: ClassMatches
    exit_of_row: Int[np.ndarray, " detection"]
    exit_of_candidate: Int[np.ndarray, " candidate"]


class ExitMixture:
    """Several exits' matches merged once, so that each choice of exits costs no sorting.

    Args:
        matches_by_exit: one per exit, on the same images and classes.

    Raises:
        ValueError: no exit, or exits matched on different images, classes or ground truth.
    """

    def __init__(self, matches_by_exit: Sequence[Matches]) -> None:
        _check_same_set(matches_by_exit)
        self.exit_count = len(matches_by_exit)
        self.image_ids = matches_by_exit[0].image_ids
        self.class_names = matches_by_exit[0].class_names
        self._classes = tuple(_merge(of_class) for of_class in zip(*(m.classes for m in matches_by_exit), strict=True))

    def choose(self, choice: Int[np.ndarray, " image"]) -> Matches:
        """The matches of the mixed detections.

        Args:
            choice: index of the exit that answers, for each image of `image_ids`.

        Raises:
            ValueError: not one choice per image, or one that is no exit.
        """
        if choice.shape != self.image_ids.shape:
            raise ValueError(f"choice must name one exit per image ({self.image_ids.size}), got {choice.size}")
        if choice.size and (choice.min() < 0 or choice.max() >= self.exit_count):
            wrong = choice.min() if choice.min() < 0 else choice.max()
            raise ValueError(f"choice must be 0 to {self.exit_count - 1}, got {wrong}")
        return Matches(self.image_ids, self.class_names, tuple(_keep(merged, choice) for merged in self._classes))


def mixture_ap(
    matches_by_exit: Sequence[Matches] | ExitMixture,
    choice: Int[np.ndarray, " image"],
    image_weights: ImageWeights | None = None,
    measure: Measure = "AP",
) -> float:
    """Average precision when each image is answered by the exit chosen for it.

    Bit-equal to the reference implementation on the mixed detections.

    Args:
        matches_by_exit: one per exit; an `ExitMixture` saves the merging where many choices are tried.
        choice: index of the exit that answers, for each image of `image_ids`.
        image_weights: see `average_precision`.
        measure: see `average_precision`.
    """
    mixture = matches_by_exit if isinstance(matches_by_exit, ExitMixture) else ExitMixture(matches_by_exit)
    return average_precision(mixture.choose(choice), image_weights, measure)


def _check_same_set(matches_by_exit: Sequence[Matches]) -> None:
    if not matches_by_exit:
        raise ValueError("a mixture needs the matches of at least one exit")
    first = matches_by_exit[0]
    for other in matches_by_exit[1:]:
        same = np.array_equal(first.image_ids, other.image_ids) and first.class_names == other.class_names
        if not same or not all(
            np.array_equal(one.truth_count, two.truth_count)
            for one, two in zip(first.classes, other.classes, strict=True)
        ):
            raise ValueError("exits can be mixed only if matched on the same images, classes and ground truth")


def _merge(parts: tuple[ClassMatches, ...]) -> _MergedClass:
    scores = np.concatenate([part.scores for part in parts])
    images = np.concatenate([part.images for part in parts])
    exit_of_row = np.repeat(np.arange(len(parts)), [part.scores.size for part in parts])
    # The sort is stable, so the rows that one exit has for one image keep their order.
    order = np.lexsort((images, -scores))
    row_of = np.empty_like(order)
    row_of[order] = np.arange(order.size)

    offsets = np.cumsum([0, *(part.scores.size for part in parts[:-1])])
    candidates = row_of[np.concatenate([part.candidates + at for part, at in zip(parts, offsets, strict=True)])]
    by_row = np.argsort(candidates)
    rows = ClassMatches(
        scores=scores[order],
        images=images[order],
        in_area=np.concatenate([part.in_area for part in parts], axis=1)[:, order],
        candidates=candidates[by_row],
        correct=np.concatenate([part.correct for part in parts], axis=2)[:, :, by_row],
        counted=np.concatenate([part.counted for part in parts], axis=2)[:, :, by_row],
        truth_count=parts[0].truth_count,
    )
    exit_of_row = exit_of_row[order]
    return _MergedClass(rows, exit_of_row, exit_of_row[rows.candidates])


def _keep(merged: _MergedClass, choice: np.ndarray) -> ClassMatches:
    rows = merged.rows
    kept = choice[rows.images] == merged.exit_of_row
    kept_candidates = kept[rows.candidates]
    return ClassMatches(
        scores=rows.scores[kept],
        images=rows.images[kept],
        in_area=rows.in_area[:, kept],
        candidates=(np.cumsum(kept) - 1)[rows.candidates[kept_candidates]],
        correct=rows.correct[:, :, kept_candidates],
        counted=rows.counted[:, :, kept_candidates],
        truth_count=rows.truth_count,
    )
