import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade_exit.evaluation import (
    DetectionArrays,
    ExitAP,
    ImageTruth,
    calibration_errors,
    coco_metrics,
    match_detections,
)

from .gloo_workers import Rows, feed, score_shares
from .reference import class_names, random_detections, random_truth
from .stand_ins import Detections

NAMES = class_names(2)
EXITS = ("exit1", "exit2", "full")


def as_tensors(found: DetectionArrays) -> Detections:
    scores = torch.tensor(found.scores, dtype=torch.float32)
    return Detections(torch.tensor(found.boxes, dtype=torch.float32), scores, torch.tensor(found.labels))


@pytest.fixture
def scene() -> tuple[list[ImageTruth], Rows]:
    rng = np.random.default_rng(0)
    truth = random_truth(rng, 9, 2)
    nothing = DetectionArrays(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    rows: Rows = {}
    for name in EXITS:
        found = random_detections(rng, truth, 2)
        rows[name] = {image.image_id: as_tensors(found.get(image.image_id, nothing)) for image in truth}
    return truth, rows


def expected(truth: list[ImageTruth], rows: Rows) -> dict[str, dict]:
    result = {}
    for name, found in rows.items():
        arrays = {image.image_id: DetectionArrays.from_tensors(found[image.image_id]) for image in truth}
        matches = match_detections(truth, arrays, NAMES)
        result[name] = coco_metrics(matches) | calibration_errors(matches)
    return result


def test_every_exit_is_scored_on_all_images(scene: tuple[list[ImageTruth], Rows]) -> None:
    truth, rows = scene
    metric = ExitAP(truth, NAMES, EXITS)
    feed(metric, [image.image_id for image in truth], rows)
    assert metric.compute() == expected(truth, rows)
    assert len({measures["AP"] for measures in metric.compute().values()}) == 3


def test_an_image_seen_twice_counts_once(scene: tuple[list[ImageTruth], Rows]) -> None:
    truth, rows = scene
    metric = ExitAP(truth, NAMES, EXITS)
    ids = [image.image_id for image in truth]
    feed(metric, [*ids, ids[3], ids[0], ids[3]], rows)
    assert metric.compute() == expected(truth, rows)


def test_images_never_seen_are_reported_unless_allowed(scene: tuple[list[ImageTruth], Rows]) -> None:
    truth, rows = scene
    metric = ExitAP(truth, NAMES, EXITS)
    feed(metric, [image.image_id for image in truth[:5]], rows)
    first = min(image.image_id for image in truth[5:])
    with pytest.raises(ValueError, match=rf"4 of 9 images were never evaluated \(the first is image {first}\)"):
        metric.compute()
    assert metric.compute(require_all=False) == expected(truth[:5], rows)


def test_reset_forgets(scene: tuple[list[ImageTruth], Rows]) -> None:
    truth, rows = scene
    metric = ExitAP(truth, NAMES, EXITS)
    feed(metric, [image.image_id for image in truth[:5]], rows)
    metric.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metric.compute(require_all=False) == {name: {"per_class": {}} for name in EXITS}
    feed(metric, [image.image_id for image in truth], rows)
    assert metric.compute() == expected(truth, rows)


def test_wrong_updates_are_refused(scene: tuple[list[ImageTruth], Rows]) -> None:
    truth, rows = scene
    metric = ExitAP(truth, NAMES, EXITS)
    image_id = truth[0].image_id
    one = {name: [found[image_id]] for name, found in rows.items()}
    with pytest.raises(ValueError, match="image 9999, which is not in the ground truth"):
        metric.update(torch.tensor([9999]), one)
    with pytest.raises(ValueError, match="the exits exit1, exit2, full; got exit1"):
        metric.update(torch.tensor([image_id]), {"exit1": one["exit1"]})
    with pytest.raises(ValueError, match="exit1: 1 lists of detections for 2 images"):
        metric.update(torch.tensor([image_id, image_id]), one)


def test_two_processes_score_as_one(scene: tuple[list[ImageTruth], Rows], tmp_path: Path) -> None:
    truth, rows = scene
    ids = [image.image_id for image in truth]
    plans = [
        [ids[:4], ids[4:]],
        [ids[0::2], [*ids[1::2], ids[0]]],  # as a distributed sampler pads an odd number of images
        [ids, []],
        [[], ids],
    ]
    torch.multiprocessing.spawn(score_shares, (str(tmp_path), truth, list(NAMES), rows, plans), nprocs=2)
    wanted = expected(truth, rows)
    for rank in range(2):
        results = pickle.loads((tmp_path / f"{rank}.pkl").read_bytes())
        assert results == [wanted] * len(plans)
