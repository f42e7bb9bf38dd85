"""Precision at every recall level, counted from matched detections again and again.

COCO's interpolated precision at a recall is the highest precision at or beyond it, and that is always reached at a
true positive. So only true positives are looked at one by one, those of all classes and overlap thresholds in a few
passes over long arrays; how many detections stand before them is one cumulative sum over all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import IOU_THRESHOLDS, ClassMatches

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class _Hits:
    """True positives of one range of areas, in segments: one per threshold and class, classes within thresholds.

    A detection counts as its own area says unless its match says otherwise; such changes are few and kept apart.

    Attributes:
        rows: of each true positive, ascending within its segment.
        segment: of each true positive.
        bounds: where each segment begins, and the end.
        change_keys: segment and row of each change, as `_Hits.key` makes them, ascending.
        change_rows: of each change.
        change_values: 1 where a detection counts though its area is out of range, -1 where it does not though in it.
        changes_up_to: changes of all segments before each true positive or at it.
        change_bounds: changes before each segment.
        in_area: whether the area of each row lies in the range.
        truth_count: objects to be found in each image.
    """

    rows: Int[np.ndarray, " hit"]
    segment: Int[np.ndarray, " hit"]
    bounds: Int[np.ndarray, " segment_and_end"]
    change_keys: Int[np.ndarray, " change"]
    change_rows: Int[np.ndarray, " change"]
    change_values: Int[np.ndarray, " change"]
    changes_up_to: Int[np.ndarray, " hit"]
    change_bounds: Int[np.ndarray, " segment_and_end"]
    in_area: Bool[np.ndarray, " row"]
    truth_count: Int[np.ndarray, "class_ image"]

    def key(self, segment: np.ndarray, row: np.ndarray) -> np.ndarray:
        """One number that orders by segment, then by row."""
        return segment * (self.in_area.size + 1) + row


class Tally:
    """The matched detections of all classes, end to end, ready to be counted.

    Args:
        classes: rows of each class, best score first.

    Attributes:
        images: index of each row's image.
    """

    def __init__(self, classes: Sequence[ClassMatches]) -> None:
        self._classes = tuple(classes)
        self._starts = np.cumsum([0, *(each.scores.size for each in classes)])
        self.images: Int[np.ndarray, " row"] = _end_to_end([each.images for each in classes])
        self._hits_of_area: dict[int, _Hits] = {}
        self._tie_bounds: tuple[np.ndarray, np.ndarray] | None = None

    def curves(
        self,
        area: int,
        thresholds: range,
        weights: Int[np.ndarray, " image"],
        shown: Bool[np.ndarray, " row"] | None = None,
    ) -> Float[np.ndarray, "threshold level class_"]:
        """Interpolated precision at each recall level, of the classes that have objects to be found.

        Args:
            area: index of the range of areas.
            thresholds: indices of overlap thresholds.
            weights: how often each image counts, 0 or more.
            shown: rows that are there; all where None.
        """
        hits, classes = self._hits(area), len(self._classes)
        segments = len(thresholds) * classes
        part = slice(hits.bounds[thresholds.start * classes], hits.bounds[thresholds.stop * classes])
        shown = np.ones(self.images.size, bool) if shown is None else shown
        count = self._count_repeated if weights.max(initial=0) > 1 else self._count_once
        segment, rank = count(hits, part, weights, shown)
        of_segment = np.bincount(segment - thresholds.start * classes, minlength=segments)
        first = np.cumsum(of_segment) - of_segment
        found = np.arange(1, segment.size + 1) - np.repeat(first, of_segment)
        precision = found / (rank + np.spacing(1))

        objects = hits.truth_count @ weights
        wanted = np.tile(hits_before_level(objects), (len(thresholds), 1))
        reached = wanted < of_segment[:, None]
        curves = np.zeros((segments, RECALL_LEVELS.size))
        if precision.size:
            # Level 0 is always reached at a segment's first hit, so the pieces between levels leave nothing out.
            curves[reached] = np.maximum.reduceat(precision, (first[:, None] + wanted)[reached])
        curves = np.maximum.accumulate(curves[:, ::-1], axis=1)[:, ::-1]
        return curves.reshape(len(thresholds), classes, -1)[:, objects > 0].transpose(0, 2, 1)

    def _count_once(
        self, hits: _Hits, part: slice, weights: np.ndarray, shown: np.ndarray
    ) -> tuple[Int[np.ndarray, " entry"], Int[np.ndarray, " entry"]]:
        """Segment and rank (from 1, among what counts) of each true positive, where no image counts twice."""
        if weights.min(initial=1) == 0:
            shown = shown & (weights > 0)[self.images]
        kept = np.flatnonzero(shown[hits.rows[part]]) + part.start
        segment, rows = hits.segment[kept], hits.rows[kept]
        before = _sums(shown & hits.in_area)
        changes = _sums(shown[hits.change_rows] * hits.change_values)
        base = changes[hits.change_bounds[:-1]] + np.resize(before[self._starts[:-1]], hits.bounds.size - 1)
        return segment, before[rows + 1] + changes[hits.changes_up_to[kept]] - base[segment]

    def _count_repeated(
        self, hits: _Hits, part: slice, weights: np.ndarray, shown: np.ndarray
    ) -> tuple[Int[np.ndarray, " entry"], Int[np.ndarray, " entry"]]:
        """As `_count_once`, with as many entries per true positive as its image has copies, next to each other."""
        copies = weights[self.images] * shown
        of_hit = copies[hits.rows[part]]
        kept = np.repeat(np.arange(part.start, part.stop), of_hit)
        copy = np.arange(kept.size) - np.repeat(np.cumsum(of_hit) - of_hit, of_hit)
        # Detections of one image with equal scores stay together: a whole copy of the image comes before the next.
        tie_first, tie_end = self._ties()
        order = np.lexsort((copy, tie_first[hits.rows[kept]], hits.segment[kept]))
        kept, copy = kept[order], copy[order]
        segment, rows = hits.segment[kept], hits.rows[kept]
        first, end = tie_first[rows], tie_end[rows]

        all_before, once_before = _sums(copies * hits.in_area), _sums(shown & hits.in_area)
        all_changes = _sums(copies[hits.change_rows] * hits.change_values)
        once_changes = _sums(shown[hits.change_rows] * hits.change_values)
        changes_first, changes_end = (np.searchsorted(hits.change_keys, hits.key(segment, row)) for row in (first, end))
        base = all_changes[hits.change_bounds[:-1]] + np.resize(all_before[self._starts[:-1]], hits.bounds.size - 1)
        tied = once_before[end] - once_before[first] + once_changes[changes_end] - once_changes[changes_first]
        within = once_before[rows + 1] - once_before[first]
        within += once_changes[hits.changes_up_to[kept]] - once_changes[changes_first]
        return segment, all_before[first] + all_changes[changes_first] - base[segment] + copy * tied + within

    def _hits(self, area: int) -> _Hits:
        if area not in self._hits_of_area:
            self._hits_of_area[area] = _find_hits(self._classes, self._starts, area)
        return self._hits_of_area[area]

    def _ties(self) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]:
        """First row of the run of equal scores in the same image and class that a row belongs to, and its end."""
        if self._tie_bounds is None:
            begins = np.zeros(self.images.size + 1, bool)
            begins[self._starts] = True
            scores = _end_to_end([each.scores for each in self._classes])
            begins[1:-1] |= (np.diff(scores) != 0) | (np.diff(self.images) != 0)
            bounds, run = np.flatnonzero(begins), np.cumsum(begins[:-1])
            self._tie_bounds = bounds[run - 1], bounds[run]
        return self._tie_bounds


def _find_hits(classes: Sequence[ClassMatches], starts: np.ndarray, area: int) -> _Hits:
    hits: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for index, each in enumerate(classes):
        change = each.counted[area].astype(np.int64) - each.in_area[area, each.candidates]
        for found, cells in ((hits, each.correct[area]), (changes, change)):
            threshold, candidate = np.nonzero(cells)
            found.append(np.stack([threshold * len(classes) + index, each.candidates[candidate] + starts[index]]))
        values.append(change[np.nonzero(change)])
    segment, rows, _ = _by_segment(hits)
    change_segment, change_rows, order = _by_segment(changes)
    segments = np.arange(len(IOU_THRESHOLDS) * len(classes) + 1)
    keys = change_segment * (starts[-1] + 1) + change_rows
    return _Hits(
        rows=rows,
        segment=segment,
        bounds=np.searchsorted(segment, segments),
        change_keys=keys,
        change_rows=change_rows,
        change_values=_end_to_end(values)[order],
        changes_up_to=np.searchsorted(keys, segment * (starts[-1] + 1) + rows, side="right"),
        change_bounds=np.searchsorted(change_segment, segments),
        in_area=_end_to_end([each.in_area[area] for each in classes]).astype(bool),
        truth_count=np.stack([each.truth_count[area] for each in classes]),
    )


def _by_segment(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments and rows in order, and that order."""
    segment, rows = np.concatenate(parts, axis=1)
    order = np.argsort(segment, kind="stable")
    return segment[order], rows[order], order


def hits_before_level(objects: Int[np.ndarray, " class_"]) -> Int[np.ndarray, "class_ level"]:
    """How many true positives stand before the one that reaches each level of recall."""
    total = np.maximum(objects, 1)[:, None]
    needed = np.ceil(RECALL_LEVELS * total)
    # The product is rounded, and what counts is whether a recall, itself rounded, reaches the level.
    needed += needed / total < RECALL_LEVELS
    needed -= (needed - 1) / total >= RECALL_LEVELS
    return np.maximum(needed.astype(np.int64) - 1, 0)


def _end_to_end(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, parts[0].dtype if parts else np.int64), *parts])


def _sums(values: np.ndarray) -> np.ndarray:
    """Sum of the values before each place, and of all of them."""
    sums = np.zeros(values.size + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
