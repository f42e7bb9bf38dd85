"""Detections matched to the ground truth once, so that average precision can be taken again and again.

Which detection finds which object does not depend on what other images hold. So the matching of COCO's evaluation
(greedy by score, Lin et al., ECCV 2014) is done once per image, class, area range and overlap threshold; what then
remains for any weighting of the images or any mixture of exits is counting (see `average_precision`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from cascade_exit.evaluation.class_matches import AREA_RANGES, IOU_THRESHOLDS, ClassMatches
from cascade_exit.evaluation.tally import Tally
from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth, area_scales, boxes_xywh, check_inputs

MAX_DETECTIONS = 100
"""Detections scored per image and class, best first."""


@dataclass(frozen=True)
class Matches:
    """One exit's detections on a whole set, matched to its ground truth.

    Attributes:
        image_ids: ascending.
        class_names: name of label i+1 at place i.
        classes: one entry per class name.
    """

    image_ids: Int[np.ndarray, " image"]
    class_names: tuple[str, ...]
    classes: tuple[ClassMatches, ...]

    @cached_property
    def tally(self) -> Tally:
        """For counting; made once."""
        return Tally(self.classes)


@dataclass(frozen=True)
class _Truth:
    """Objects of all images, sorted by (class, image), otherwise in the order given."""

    group: Int[np.ndarray, " truth"]
    boxes: Float[np.ndarray, "truth 4"]
    crowd: Bool[np.ndarray, " truth"]
    ignored: Bool[np.ndarray, "area truth"]


@dataclass(frozen=True)
class _Found:
    """Detections of all images, sorted by (class, image, descending score)."""

    group: Int[np.ndarray, " detection"]
    boxes: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    in_area: Bool[np.ndarray, "area detection"]


@dataclass(frozen=True)
class _Pairs:
    """Detections and objects of the same image and class that overlap enough, sorted by (detection, overlap)."""

    detection: Int[np.ndarray, " pair"]
    truth: Int[np.ndarray, " pair"]
    iou: Float[np.ndarray, " pair"]


def match_detections(
    ground_truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], class_names: Sequence[str]
) -> Matches:
    """Matches detections to objects as COCO's evaluation does.

    Args:
        ground_truth: every image of the set, those without objects included.
        detections: by image id; an image that is left out has none. The 100 best per image and class are taken.
        class_names: name of label i+1 at place i.

    Raises:
        ValueError: see `check_inputs`.
    """
    check_inputs(ground_truth, detections, class_names)
    images = sorted(ground_truth, key=lambda image: image.image_id)
    scales = area_scales(images)
    truth = _flatten_truth(images, scales)
    found = _flatten_detections(images, detections, scales)
    pairs = _overlapping_pairs(truth, found)
    candidates = np.unique(pairs.detection)
    matched_to = _match_greedily(truth, found, pairs, candidates)
    classes = tuple(
        _class_matches(index, len(images), truth, found, candidates, matched_to) for index in range(len(class_names))
    )
    return Matches(np.array([image.image_id for image in images], np.int64), tuple(class_names), classes)


def _in_area(areas: np.ndarray) -> np.ndarray:
    return (areas >= AREA_RANGES[:, :1]) & (areas <= AREA_RANGES[:, 1:])


def _concatenate(parts: list[np.ndarray], tail: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros((0, *tail), dtype), *parts]).astype(dtype)


def _flatten_truth(images: Sequence[ImageTruth], scales: np.ndarray) -> _Truth:
    place = np.repeat(np.arange(len(images)), [len(image.labels) for image in images])
    labels = _concatenate([image.labels for image in images], (), np.int64)
    boxes = boxes_xywh(_concatenate([image.boxes for image in images], (4,), np.float64))
    crowd = _concatenate([image.crowd for image in images], (), np.bool_)
    areas = _concatenate([image.areas for image in images], (), np.float64) * scales[place]
    group = (labels - 1) * len(images) + place
    order = np.argsort(group, kind="stable")
    return _Truth(group[order], boxes[order], crowd[order], crowd[order] | ~_in_area(areas[order]))


def _flatten_detections(
    images: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], scales: np.ndarray
) -> _Found:
    nothing = DetectionArrays(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    parts = [detections.get(image.image_id, nothing) for image in images]
    place = np.repeat(np.arange(len(images)), [len(part.labels) for part in parts])
    labels = _concatenate([part.labels for part in parts], (), np.int64)
    scores = _concatenate([part.scores for part in parts], (), np.float64)
    boxes = boxes_xywh(_concatenate([part.boxes for part in parts], (4,), np.float64))
    group = (labels - 1) * len(images) + place
    order = np.lexsort((-scores, group))
    order = order[_rank_in_group(group[order]) < MAX_DETECTIONS]
    boxes = boxes[order]
    in_area = _in_area(boxes[:, 2] * boxes[:, 3] * scales[place[order]])
    return _Found(group[order], boxes, scores[order], in_area)


def _rank_in_group(sorted_groups: np.ndarray) -> np.ndarray:
    return np.arange(sorted_groups.size) - np.searchsorted(sorted_groups, sorted_groups, side="left")


def _overlapping_pairs(truth: _Truth, found: _Found) -> _Pairs:
    first = np.searchsorted(truth.group, found.group, side="left")
    count = np.searchsorted(truth.group, found.group, side="right") - first
    detection = np.repeat(np.arange(found.group.size), count)
    within = np.arange(detection.size) - np.repeat(np.cumsum(count) - count, count)
    of_truth = np.repeat(first, count) + within
    iou = iou_by_row(found.boxes[detection], truth.boxes[of_truth], truth.crowd[of_truth])
    near = np.flatnonzero(iou >= IOU_THRESHOLDS[0])
    # Of equal overlaps the reference takes the object named last, so that one must come last here.
    order = near[np.lexsort((of_truth[near], iou[near], detection[near]))]
    return _Pairs(detection[order], of_truth[order], iou[order])


def iou_by_row(detection: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Overlap row by row, with the same operations in the same order as the reference, so equal to the last bit.

    Args:
        detection: boxes xywh, `[row 4]`.
        truth: likewise; where it is a crowd, the detection's own area stands for the union.
        crowd: of each row.
    """
    corner = np.minimum(detection[:, :2] + detection[:, 2:], truth[:, :2] + truth[:, 2:])
    side = np.maximum(corner - np.maximum(detection[:, :2], truth[:, :2]), 0.0)
    shared = side[:, 0] * side[:, 1]
    detection_area = detection[:, 2] * detection[:, 3]
    union = np.where(crowd, detection_area, detection_area + truth[:, 2] * truth[:, 3] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _match_greedily(truth: _Truth, found: _Found, pairs: _Pairs, candidates: np.ndarray) -> np.ndarray:
    """Object matched to each candidate, or -1: int64 `[area threshold candidate]`.

    All images and classes take a step together: first each group's best candidate chooses, then its second, ….
    """
    shape = (len(AREA_RANGES), len(IOU_THRESHOLDS))
    matched_to = np.full((*shape, candidates.size), -1, np.int64)
    taken = np.zeros((*shape, truth.group.size), bool)
    candidate_of_pair = np.searchsorted(candidates, pairs.detection)
    step_of_pair = _rank_in_group(found.group[candidates])[candidate_of_pair]
    for step in range(int(step_of_pair.max(initial=-1)) + 1):
        now = np.flatnonzero(step_of_pair == step)
        objects = pairs.truth[now]
        possible = pairs.iou[now] >= IOU_THRESHOLDS[:, None]
        possible = possible & (~taken[:, :, objects] | truth.crowd[objects])
        starts = np.flatnonzero(np.diff(candidate_of_pair[now], prepend=-1))
        # A later pair of the same candidate overlaps more; any object that counts comes before any that is ignored.
        preference = np.arange(now.size) + now.size * ~truth.ignored[:, None, objects]
        best = np.maximum.reduceat(np.where(possible, preference, -1), starts, axis=2)
        chosen = np.where(best >= 0, objects[best % now.size], -1)
        matched_to[:, :, candidate_of_pair[now[starts]]] = chosen
        area, threshold, column = np.nonzero(chosen >= 0)
        taken[area, threshold, chosen[area, threshold, column]] = True
    return matched_to


def _class_matches(
    index: int, image_count: int, truth: _Truth, found: _Found, candidates: np.ndarray, matched_to: np.ndarray
) -> ClassMatches:
    bounds = [index * image_count, (index + 1) * image_count]
    first, last = np.searchsorted(found.group, bounds)
    in_area = found.in_area[:, first:last]
    order = np.argsort(-found.scores[first:last], kind="stable")
    row_of = np.empty_like(order)
    row_of[order] = np.arange(order.size)

    own = np.arange(*np.searchsorted(candidates, [first, last]))
    own = own[np.argsort(row_of[candidates[own] - first])]
    place, matched = candidates[own] - first, matched_to[:, :, own]
    correct = (matched >= 0) & ~_ignored(truth, matched)
    unmatched = (matched < 0) & in_area[:, None, place]
    return ClassMatches(
        scores=found.scores[first:last][order],
        images=found.group[first:last][order] - bounds[0],
        in_area=in_area[:, order],
        candidates=row_of[place],
        correct=correct,
        counted=correct | unmatched,
        truth_count=_truth_count(truth, bounds),
    )


def _ignored(truth: _Truth, matched: np.ndarray) -> np.ndarray:
    if truth.group.size == 0:
        return np.zeros(matched.shape, bool)
    return truth.ignored[np.arange(len(AREA_RANGES))[:, None, None], matched]


def _truth_count(truth: _Truth, bounds: list[int]) -> np.ndarray:
    own = slice(*np.searchsorted(truth.group, bounds))
    images = truth.group[own] - bounds[0]
    counts = [np.bincount(images[~ignored], minlength=bounds[1] - bounds[0]) for ignored in truth.ignored[:, own]]
    return np.stack(counts)
