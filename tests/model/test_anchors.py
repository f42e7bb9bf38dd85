import math

import pytest
import torch
from torchvision.models import mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import _mobilenet_extractor

from cascade_exit.model import AnchorGrid
from cascade_exit.model.layers import norm_layer

SSDLITE_SCALES = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]


@pytest.fixture(scope="module")
def extractor():
    return _mobilenet_extractor(mobilenet_v3_large(width_mult=0.35, norm_layer=norm_layer), 6, norm_layer).eval()


@pytest.mark.parametrize(
    ("size_px", "cells"),
    [
        (96, (6, 3, 2, 1, 1, 1)),
        (192, (12, 6, 3, 2, 1, 1)),
        (224, (14, 7, 4, 2, 1, 1)),
        (300, (19, 10, 5, 3, 2, 1)),
        (320, (20, 10, 5, 3, 2, 1)),
        (416, (26, 13, 7, 4, 2, 1)),
    ],
)
def test_equal_torchvisions_for_the_maps_of_its_network(extractor, size_px, cells):
    image = torch.zeros(1, 3, size_px, size_px)
    with torch.no_grad():
        maps = list(extractor(image).values())
    generator = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    expected = generator(ImageList(image, [(size_px, size_px)]), maps)[0]
    grid = AnchorGrid(size_px)
    assert grid.cells == cells
    assert grid.per_cell == 6
    torch.testing.assert_close(grid.boxes, expected, rtol=0, atol=0)


def test_count_at_320():
    assert len(AnchorGrid(320).boxes) == 3234


def by_hand(size_px: int, cells: tuple[int, ...], scales: list[float]) -> torch.Tensor:
    """Liu et al., section 2.2: level by level, row by row, column by column; two squares, then each ratio both ways."""
    boxes = []
    for level, side in enumerate(cells):
        scale, larger = scales[level], math.sqrt(scales[level] * scales[level + 1])
        shapes = [(scale, scale), (larger, larger)]
        for ratio in (2, 3):
            wide, narrow = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(wide, narrow), (narrow, wide)]
        for row in range(side):
            for column in range(side):
                x, y = (column + 0.5) / side, (row + 0.5) / side
                for width, height in shapes:
                    half_width, half_height = min(width, 1) / 2, min(height, 1) / 2
                    boxes.append((x - half_width, y - half_height, x + half_width, y + half_height))
    return torch.tensor(boxes) * size_px


@pytest.mark.parametrize("scales", [None, (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.1)])
def test_by_the_paper(scales):
    grid = AnchorGrid(160, scales)
    expected = by_hand(160, (10, 5, 3, 2, 1, 1), list(scales or SSDLITE_SCALES))
    torch.testing.assert_close(grid.boxes, expected, rtol=0, atol=1e-4)


def test_on_a_device_are_the_same_boxes():
    grid = AnchorGrid(96)
    assert torch.equal(grid.on(torch.device("cpu")), grid.boxes)
    assert grid.on(torch.device("meta")).shape == grid.boxes.shape
