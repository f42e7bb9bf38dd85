"""Time of one operating point: exact AP of a mixture of exits against pycocotools on the mixed detections.

Run it as `python -m tests.benchmarks.bench_mixture`. Both sides start from what they keep between operating points
(matches here, indexed annotations there), take turns in one process, and must agree to the last bit. Both run on one
thread, so processor time is measured, which other work on the machine disturbs little.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_exit.evaluation import (
    DetectionArrays,
    ExitMixture,
    ImageTruth,
    average_precisions,
    match_detections,
)
from tests.benchmarks.timing import timed

SIZE_PX = 640
POOLED = ("AP", "AP50", "AP75")
WANTED = {"all areas": 60, "AP, AP50, AP75": 200}


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    side = np.exp(rng.uniform(np.log(12), np.log(320), (count, 2)))
    corner = rng.random((count, 2)) * (SIZE_PX - side)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def make_truth(rng: np.random.Generator, images: int, classes: int) -> list[ImageTruth]:
    truth = []
    for image_id in range(1, images + 1):
        corners = boxes(rng, int(rng.poisson(6)))
        labels = rng.integers(1, classes + 1, len(corners))
        areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
        crowd = rng.random(len(corners)) < 0.02
        truth.append(ImageTruth(image_id, SIZE_PX, SIZE_PX, corners, labels, crowd, areas))
    return truth


def make_detections(
    rng: np.random.Generator, truth: Sequence[ImageTruth], classes: int, most: int, noise_px: float
) -> dict[int, DetectionArrays]:
    """Up to `most` an image: several near each object, the others anywhere with low scores."""
    found = {}
    for image in truth:
        count = int(rng.integers(most // 2, most + 1))
        near = min(count, int(rng.integers(1, 6)) * len(image.labels))
        of_object = rng.permutation(np.resize(np.arange(max(len(image.labels), 1)), near))
        corners, labels = boxes(rng, count), rng.integers(1, classes + 1, count)
        corners[:near] = image.boxes[of_object] + rng.normal(0, noise_px, (near, 4)).astype(np.float32)
        labels[:near] = image.labels[of_object]
        scores = np.concatenate([rng.beta(2, 2, near), rng.beta(1, 12, count - near)]).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        found[image.image_id] = DetectionArrays(corners[order], scores[order], labels[order])
    return found


def coco(truth: Sequence[ImageTruth], classes: int, rows: list[dict]) -> COCO:
    indexed = COCO()
    images = [{"id": image.image_id, "width": image.width, "height": image.height} for image in truth]
    indexed.dataset = {"images": images, "categories": [{"id": i + 1} for i in range(classes)], "annotations": rows}
    with contextlib.redirect_stdout(io.StringIO()):
        indexed.createIndex()
    return indexed


def coco_rows(arrays: Mapping[int, ImageTruth] | Mapping[int, DetectionArrays]) -> list[dict]:
    rows: list[dict] = []
    for image_id, image in arrays.items():
        is_truth = isinstance(image, ImageTruth)
        for place, (x1, y1, x2, y2) in enumerate(image.boxes.astype(np.float64).tolist()):
            row = {"id": len(rows) + 1, "image_id": image_id, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            row["category_id"] = int(image.labels[place])
            row["area"] = float(image.areas[place]) if is_truth else (x2 - x1) * (y2 - y1)
            row["iscrowd"] = int(image.crowd[place]) if is_truth else 0
            if not is_truth:
                row["score"] = float(image.scores[place])
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("images", 1000), ("exits", 3), ("classes", 13), ("detections", 100), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = make_truth(rng, options.images, options.classes)
    by_exit = [
        make_detections(rng, truth, options.classes, options.detections, 24 / 2**k) for k in range(options.exits)
    ]
    names = [f"class {index}" for index in range(options.classes)]
    begin = time.process_time()
    mixture = ExitMixture([match_detections(truth, found, names) for found in by_exit])
    print(f"matched once in {time.process_time() - begin:.2f} s")
    indexed_truth = coco(truth, options.classes, coco_rows({image.image_id: image for image in truth}))

    ratios: dict[str, list[float]] = {name: [] for name in WANTED}
    for turn in range(options.rounds):
        choice = rng.integers(0, options.exits, options.images)
        mixed = {image.image_id: by_exit[k][image.image_id] for image, k in zip(truth, choice, strict=True)}
        indexed_mixed = coco(truth, options.classes, coco_rows(mixed))
        evaluation = COCOeval(indexed_truth, indexed_mixed, "bbox")

        def theirs(evaluation: COCOeval = evaluation) -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation.evaluate()
                evaluation.accumulate()

        mixture.average_precisions(choice)
        every, all_areas_s = timed(lambda choice=choice: mixture.average_precisions(choice), 5)
        pooled, pooled_s = timed(lambda choice=choice: mixture.average_precisions(choice, measures=POOLED), 5)
        _, chosen_s = timed(lambda choice=choice: average_precisions(mixture.choose(choice)), 2)
        _, theirs_s = timed(theirs, 1)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.summarize()
        assert list(every.values()) == evaluation.stats[: len(every)].tolist()
        assert all(pooled[name] == every[name] for name in POOLED)
        ratios["all areas"].append(theirs_s / all_areas_s)
        ratios["AP, AP50, AP75"].append(theirs_s / pooled_s)
        times = {"all areas": all_areas_s, "AP, AP50, AP75": pooled_s, "matches and all areas": chosen_s}
        each = "; ".join(f"{name} {1e3 * took:.1f} ms ({theirs_s / took:.0f}x)" for name, took in times.items())
        print(f"round {turn + 1}: AP {every['AP']:.3f}; pycocotools {theirs_s:.2f} s; {each}")
    for name, values in ratios.items():
        verdict = "reached" if min(values) >= WANTED[name] else "missed"
        print(f"{name}: {min(values):.0f} to {max(values):.0f}x, wanted {WANTED[name]}x: {verdict}")


if __name__ == "__main__":
    main()
