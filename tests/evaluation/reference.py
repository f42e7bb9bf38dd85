"""Random detection sets with everything that makes scoring hard, and pycocotools' verdict on them."""

import contextlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_exit.evaluation import DetectionArrays, ImageTruth

SIZE_PX = 128
STATS = {"AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5, "AR100": 8}


def class_names(classes: int) -> tuple[str, ...]:
    return tuple(f"thing{index}" for index in range(classes))


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    # A coarse grid makes equal overlaps, overlaps exactly at a threshold and exact duplicates common.
    corner = rng.integers(0, 6, (count, 2)) * 4.0
    return np.concatenate([corner, corner + rng.integers(4, 27, (count, 2)) * 4.0], axis=1)


def random_truth(rng: np.random.Generator, images: int, classes: int, most_objects: int = 4) -> list[ImageTruth]:
    truth = []
    for image_id in rng.permutation(np.arange(10, 10 + 3 * images, 3)):
        count = int(rng.integers(0, most_objects + 1))
        boxes = random_boxes(rng, count)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * rng.choice([0.5, 1.0], count)
        on_border = rng.random(count) < 0.2
        areas[on_border] = rng.choice([32.0**2, 96.0**2], on_border.sum())
        labels = rng.integers(1, classes + 1, count)
        crowd = rng.random(count) < 0.2
        truth.append(ImageTruth(int(image_id), SIZE_PX, SIZE_PX, boxes, labels, crowd, areas))
    return truth


def random_detections(
    rng: np.random.Generator, truth: Sequence[ImageTruth], classes: int, most: int = 12
) -> dict[int, DetectionArrays]:
    detections = {}
    for image in truth:
        count = int(rng.integers(0, most + 1))
        if count == 0 and rng.random() < 0.5:
            continue
        boxes = random_boxes(rng, count)
        near = np.flatnonzero(rng.random(count) < 0.6) if len(image.labels) else np.zeros(0, int)
        labels = rng.integers(1, classes + 1, count)
        source = rng.integers(0, max(len(image.labels), 1), near.size)
        boxes[near] = image.boxes[source] + rng.integers(-1, 2, (near.size, 4)) * 2.0
        labels[near] = image.labels[source]
        scores = np.round(rng.random(count), int(rng.choice([1, 3])))
        detections[image.image_id] = DetectionArrays(boxes, scores, labels)
    return detections


def repeated(
    truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], weights: Mapping[int, int]
) -> tuple[list[ImageTruth], dict[int, DetectionArrays]]:
    """Each image as often as its weight says, copies next to each other, under new ids."""
    more_truth: list[ImageTruth] = []
    more_detections = {}
    for image in sorted(truth, key=lambda image: image.image_id):
        for _ in range(weights[image.image_id]):
            new_id = len(more_truth) + 1
            fields = {**vars(image), "image_id": new_id}
            more_truth.append(ImageTruth(**fields))
            if image.image_id in detections:
                more_detections[new_id] = detections[image.image_id]
    return more_truth, more_detections


def coco_evaluation(
    truth: Sequence[ImageTruth],
    detections: Mapping[int, DetectionArrays],
    names: Sequence[str],
    area_scale: Mapping[int, float] | None = None,
) -> COCOeval:
    """pycocotools, fed by dictionaries, run through; areas of both sides multiplied by `area_scale` per image."""
    scale = area_scale or {image.image_id: 1.0 for image in truth}
    objects, found = [], []
    for image in truth:
        for box, label, crowd, area in zip(image.boxes, image.labels, image.crowd, image.areas, strict=True):
            row = _row(image.image_id, box, label, len(objects) + 1)
            objects.append({**row, "iscrowd": int(crowd), "area": float(area) * scale[image.image_id]})
    for image_id, arrays in detections.items():
        for box, score, label in zip(arrays.boxes, arrays.scores, arrays.labels, strict=True):
            row = _row(image_id, box, label, len(found) + 1)
            area = row["bbox"][2] * row["bbox"][3] * scale[image_id]
            found.append({**row, "iscrowd": 0, "score": float(score), "area": area})
    images = [{"id": image.image_id, "width": image.width, "height": image.height} for image in truth]
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(images, categories, objects), _coco(images, categories, found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def coco_measures(evaluation: COCOeval, names: Sequence[str]) -> dict:
    """Its numbers under our names, without those that it reports as -1."""
    measures: dict = {name: evaluation.stats[index] for name, index in STATS.items() if evaluation.stats[index] > -1}
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    measures["per_class"] = {
        name: precision[:, :, index].mean() for index, name in enumerate(names) if precision[0, 0, index] > -1
    }
    return measures


def reference_metrics(
    truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], names: Sequence[str]
) -> dict:
    """pycocotools' measures under our names."""
    return coco_measures(coco_evaluation(truth, detections, names), names)


def _row(image_id: int, box: np.ndarray, label: int, row_id: int) -> dict:
    x1, y1, x2, y2 = box.astype(np.float64).tolist()
    return {"id": row_id, "image_id": image_id, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}


def _coco(images: list[dict], categories: list[dict], annotations: list[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco
