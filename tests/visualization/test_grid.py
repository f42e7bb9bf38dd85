import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.evaluation import DetectionArrays, ImageTruth
from cascade_exit.visualization import GridRow, class_color, exit_grid
from cascade_exit.visualization.colors import FALSE, MISSED, RIGHT

NAMES = ("chair", "table")
CHAIR, TABLE = [40.0, 40.0, 120.0, 160.0], [200.0, 60.0, 280.0, 180.0]


def detections(*boxes: list[float], labels: list[int], scores: list[float] | None = None) -> DetectionArrays:
    corners = np.array(boxes, float).reshape(-1, 4)
    return DetectionArrays(corners, np.array(scores or [0.9] * len(boxes)), np.array(labels, int))


def row(width: int = 320, height: int = 240, image: np.ndarray | None = None, **found: DetectionArrays) -> GridRow:
    crowd = np.array([False, False])
    truth = ImageTruth(1, width, height, np.array([CHAIR, TABLE]), np.array([1, 2]), crowd, np.full(2, 9600.0))
    pixels = np.zeros((height, width, 3), np.uint8) if image is None else image
    return GridRow(pixels, truth, found)


def columns(grid: Image.Image, count: int, legend_px: int = 26) -> list[np.ndarray]:
    """The grid cut into its columns, without the legend below."""
    pixels = np.asarray(grid)[:-legend_px]
    return np.array_split(pixels, count, axis=1)


def shows(pixels: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((pixels == color).all(axis=2).sum() > 60)


def test_each_exit_shows_what_it_found_and_missed() -> None:
    nothing = detections(labels=[])
    both = detections(CHAIR, TABLE, labels=[1, 2])
    wrong_class = detections(CHAIR, TABLE, labels=[1, 1])
    cells = columns(exit_grid([row(exit1=nothing, exit2=wrong_class, full=both)], NAMES), 4)
    seen = [[shows(cell, color) for color in (RIGHT, FALSE, MISSED)] for cell in cells]
    assert seen == [[False, False, False], [False, False, True], [True, True, True], [True, False, False]]
    assert shows(cells[0], class_color(1))
    assert shows(cells[0], class_color(2))
    assert not shows(cells[3], class_color(1))


def test_boxes_lie_where_the_picture_shows_the_object() -> None:
    image = np.zeros((48, 64, 3), np.uint8)  # a fifth of the size that the ground truth is in
    image[8:32, 8:24] = image[12:36, 40:56] = 200
    grid = exit_grid([row(image=image, full=detections(labels=[]))], NAMES)
    cell = columns(grid, 2)[0].astype(int)
    for color in (class_color(1), class_color(2)):
        y, x = np.nonzero((cell == color).all(axis=2))
        inside = cell[y.max() - 40 : y.max() - 20, x.min() + 20 : x.max() - 20]
        below = cell[y.max() + 20 : y.max() + 40, x.min() + 20 : x.max() - 20]
        assert inside.mean() > 190
        assert below.mean() < 10


def test_scores_below_the_threshold_are_not_shown() -> None:
    found = detections(CHAIR, TABLE, labels=[1, 1], scores=[0.2, 0.25])
    assert not shows(columns(exit_grid([row(full=found)], NAMES), 2)[1], FALSE)
    assert shows(columns(exit_grid([row(full=found)], NAMES, score_threshold=0.1), 2)[1], FALSE)


def test_size_follows_the_rows() -> None:
    found = {name: detections(CHAIR, labels=[1]) for name in ("exit1", "exit2", "full")}
    one, two = exit_grid([row(**found)], NAMES), exit_grid([row(**found)] * 2, NAMES)
    tall = exit_grid([row(width=300, height=3000, **found)], NAMES)
    assert one.width == two.width == tall.width == 1400
    cell_width = 1400 / 4
    assert two.height - one.height == pytest.approx(cell_width * 240 / 320, abs=40)
    assert tall.height < 2 * cell_width


def test_detections_may_be_tensors() -> None:
    class Tensors:
        boxes = torch.tensor([CHAIR])
        scores = torch.tensor([0.9])
        labels = torch.tensor([1])

    as_arrays = exit_grid([row(full=detections(CHAIR, labels=[1]))], NAMES)
    as_tensors = exit_grid([GridRow(row().image, row().truth, {"full": Tensors()})], NAMES)
    assert np.array_equal(as_arrays, as_tensors)


def test_crowds_and_empty_pictures_are_drawn() -> None:
    crowd = ImageTruth(1, 320, 240, np.array([CHAIR]), np.array([1]), np.array([True]), np.array([9600.0]))
    empty = ImageTruth(2, 320, 240, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    image = np.zeros((240, 320, 3), np.uint8)
    in_crowd = {"full": detections([60.0, 60, 90, 90], labels=[1])}
    grid = exit_grid([GridRow(image, crowd, in_crowd), GridRow(image, empty, {"full": detections(labels=[])})], NAMES)
    left, right = columns(grid, 2)
    assert shows(left, class_color(1))
    assert not any(shows(right, color) for color in (RIGHT, FALSE, MISSED))


def test_rows_must_agree() -> None:
    nothing = detections(labels=[])
    with pytest.raises(ValueError, match="at least one row"):
        exit_grid([], NAMES)
    with pytest.raises(ValueError, match="the same exits in the same order"):
        exit_grid([row(exit1=nothing, full=nothing), row(full=nothing)], NAMES)
