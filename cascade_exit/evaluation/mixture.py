"""The detections that remain when every image stops at an exit of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cascade_exit.evaluation.average_precision import MEASURES, ImageWeights, Measure, checked_weights, measures_of
from cascade_exit.evaluation.class_matches import ClassMatches
from cascade_exit.evaluation.matching import Matches
from cascade_exit.evaluation.tally import Tally


@dataclass(frozen=True)
class _MergedClass:
    """All exits' detections of one class in one order, and the exit that each row is of."""

    rows: ClassMatches
    exit_of_row: Int[np.ndarray, " detection"]

    def answers(self, choice: Int[np.ndarray, " image"]) -> ClassMatches:
        """Those of each image's own exit."""
        return self.rows.some(choice[self.rows.images] == self.exit_of_row)


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
        self._tally = Tally([merged.rows for merged in self._classes])
        self._exit_of_row = np.concatenate([np.zeros(0, np.int64), *(merged.exit_of_row for merged in self._classes)])

    def choose(self, choice: Int[np.ndarray, " image"]) -> Matches:
        """The matches of the mixed detections.

        Args:
            choice: index of the exit that answers, for each image of `image_ids`.

        Raises:
            ValueError: not one choice per image, or one that is no exit.
        """
        self._check(choice)
        return Matches(self.image_ids, self.class_names, tuple(merged.answers(choice) for merged in self._classes))

    def average_precisions(
        self,
        choice: Int[np.ndarray, " image"],
        image_weights: ImageWeights | None = None,
        measures: Sequence[Measure] = MEASURES,
    ) -> dict[Measure, float]:
        """Measures of the mixed detections by name, in one pass, without making their matches; see `mixture_ap`."""
        self._check(choice)
        shown = choice[self._tally.images] == self._exit_of_row
        return measures_of(self._tally, checked_weights(image_weights, self.image_ids.size), measures, shown)

    def _check(self, choice: np.ndarray) -> None:
        if choice.shape != self.image_ids.shape:
            raise ValueError(f"choice must name one exit per image ({self.image_ids.size}), got {choice.size}")
        if choice.size and (choice.min() < 0 or choice.max() >= self.exit_count):
            wrong = choice.min() if choice.min() < 0 else choice.max()
            raise ValueError(f"choice must be 0 to {self.exit_count - 1}, got {wrong}")


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
    return mixture.average_precisions(choice, image_weights, (measure,))[measure]


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
    return _MergedClass(rows, exit_of_row[order])
