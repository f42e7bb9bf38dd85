from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cascade_exit.evaluation import DetectionArrays, ImageTruth, area_unit

from .stand_ins import Detections


@dataclass(frozen=True)
class Record:
    image_id: int
    path: Path
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    original_size: tuple[int, int] | None


def record(original_size: tuple[int, int] | None) -> Record:
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    return Record(
        5, Path("5.jpg"), 40, 30, boxes, np.array([1]), np.array([True]), np.array([4], np.float32), original_size
    )


def test_truth_of_a_record() -> None:
    truth = ImageTruth.from_record(record((60, 80)))
    assert (truth.image_id, truth.width, truth.height, truth.original_size) == (5, 40, 30, (60, 80))
    assert truth.boxes.tolist() == [[1, 2, 3, 4]]
    assert truth.labels.tolist() == [1]
    assert truth.crowd.tolist() == [True]
    assert truth.areas.tolist() == [4]


def test_unit_is_original_only_if_every_image_says_so() -> None:
    with_size, without = ImageTruth.from_record(record((60, 80))), ImageTruth.from_record(record(None))
    assert area_unit([with_size, with_size]) == "original"
    assert area_unit([with_size, without]) == "stored"
    assert area_unit([]) == "stored"


def test_detections_of_tensors() -> None:
    found = Detections(torch.tensor([[1.0, 2, 3, 4]], requires_grad=True), torch.tensor([0.5]), torch.tensor([2]))
    arrays = DetectionArrays.from_tensors(found)
    assert arrays.boxes.tolist() == [[1, 2, 3, 4]]
    assert arrays.scores.tolist() == [0.5]
    assert arrays.labels.tolist() == [2]
