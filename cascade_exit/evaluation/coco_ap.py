"""COCO's detection measures, with exactly the numbers of the reference implementation (Lin et al., ECCV 2014)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth, area_scales, boxes_xywh, check_inputs

MAX_DETECTIONS = 100
"""Detections scored per image and class, best first."""


def coco_metrics(
    ground_truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], class_names: Sequence[str]
) -> dict[str, Any]:
    """Average precision and recall over all images, in one pass.

    Small, medium and large are told apart by areas in the pixels that `area_unit(ground_truth)` names. Only areas
    are scaled, never boxes, so that an overlap stays the same number whatever the unit.

    Args:
        ground_truth: every image of the set, those without objects included.
        detections: by image id; an image that is left out has none.
        class_names: name of label i+1 at place i.

    Returns:
        "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100" and "per_class" (AP by class name), in
        0..1. A measure for which there is no ground truth is absent.

    Raises:
        ValueError: see `check_inputs`.
    """
    check_inputs(ground_truth, detections, class_names)
    truth = sorted(ground_truth, key=lambda image: image.image_id)
    scales = area_scales(truth)
    images = [{"id": image.image_id, "width": image.width, "height": image.height} for image in truth]
    categories = [{"id": index, "name": name} for index, name in enumerate(class_names, start=1)]
    if not images:
        return {"per_class": {}}
    evaluation = COCOeval_faster(
        _coco(images, categories, _truth_rows(truth, scales)),
        _coco(images, categories, _detection_rows(truth, detections, scales)),
        "bbox",
    )
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    return _measures(evaluation, class_names)


def _coco(images: list[dict], categories: list[dict], annotations: list[dict]) -> COCO:
    return COCO({"images": images, "categories": categories, "annotations": annotations})


def _truth_rows(truth: Sequence[ImageTruth], scales: np.ndarray) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, scale in zip(truth, scales, strict=True):
        areas = (image.areas.astype(np.float64) * scale).tolist()
        columns = (boxes_xywh(image.boxes).tolist(), image.labels.tolist(), image.crowd.tolist(), areas)
        for box, label, crowd, area in zip(*columns, strict=True):
            row = {"image_id": image.image_id, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)}
            rows.append(row | {"id": len(rows) + 1})
    return rows


def _detection_rows(
    truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], scales: np.ndarray
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, scale in zip(truth, scales, strict=True):
        found = detections.get(image.image_id)
        if found is None:
            continue
        boxes = boxes_xywh(found.boxes)
        areas = (boxes[:, 2] * boxes[:, 3] * scale).tolist()
        scores = found.scores.astype(np.float64).tolist()
        for box, area, score, label in zip(boxes.tolist(), areas, scores, found.labels.tolist(), strict=True):
            row = {"image_id": image.image_id, "category_id": label, "bbox": box, "area": area, "score": score}
            rows.append(row | {"id": len(rows) + 1, "iscrowd": 0})
    return rows


def _measures(evaluation: COCOeval_faster, class_names: Sequence[str]) -> dict[str, Any]:
    # [threshold, recall, class, area] and [threshold, class, area]; -1 where there is no ground truth.
    precision = np.asarray(evaluation.eval["precision"])[..., 0]
    recall = np.asarray(evaluation.eval["recall"])[..., 0]
    areas = evaluation.params.areaRngLbl
    slices = {
        "AP": precision[:, :, :, 0],
        "AP50": precision[0, :, :, 0],
        "AP75": precision[5, :, :, 0],
        **{f"AP_{name}": precision[:, :, :, areas.index(name)] for name in ("small", "medium", "large")},
        "AR100": recall[:, :, 0],
    }
    measures: dict[str, Any] = _present_means(slices)
    measures["per_class"] = _present_means({name: precision[:, :, index, 0] for index, name in enumerate(class_names)})
    return measures


def _present_means(slices: Mapping[str, np.ndarray]) -> dict[str, float]:
    means = {}
    for name, values in slices.items():
        present = values[values > -1]
        if present.size:
            means[name] = float(np.mean(present))
    return means
