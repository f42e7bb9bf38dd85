"""Default boxes of SSDLite, one grid per size that the image is seen at, shared by exits of that size."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

LEVELS = 6
FIRST_STRIDE_PX = 16
# SSDLite's: six levels, aspect ratios 1 (two sizes), 2, 1/2, 3, 1/3, scales 0.2 to 0.95 of the input.
ASPECT_RATIOS = [[2, 3] for _ in range(LEVELS)]
MIN_RATIO, MAX_RATIO = 0.2, 0.95


def level_cells(input_size_px: int) -> tuple[int, ...]:
    """Side of each level's square grid in cells; 20, 10, 5, 3, 2, 1 at 320 px."""
    cells = [math.ceil(input_size_px / FIRST_STRIDE_PX)]
    while len(cells) < LEVELS:
        cells.append(math.ceil(cells[-1] / 2))
    return tuple(cells)


class AnchorGrid:
    """Anchors of all levels for a square input.

    A plain object rather than a buffer of the network: the anchors follow from the settings, so they belong neither
    into a checkpoint nor into an average of weights, and they stay float32 in a network of 16 bits, which would shift
    them by up to a pixel.

    Args:
        input_size_px: side of the network's input, in whose pixels the anchors lie.
        scales: anchor side per level as a share of the input, and one more for the last level's larger square
            (LEVELS + 1 numbers); None: SSDLite's.
        seen_size_px: side that the exit sees the input at, which decides the number of cells; None: the input's own.

    Attributes:
        boxes: xyxy in input pixels, level by level, row by row, `per_cell` anchors a cell; on the CPU.
        cells: side of each level's grid.
        per_cell: anchors per cell.
        scales: anchor side per level as a share of the input, and of the last level's larger square.
    """

    def __init__(
        self, input_size_px: int, scales: Sequence[float] | None = None, seen_size_px: int | None = None
    ) -> None:
        self.input_size_px = input_size_px
        self.cells = level_cells(seen_size_px or input_size_px)
        # min_ratio/max_ratio give SSDLite's scales where none are set.
        generator = DefaultBoxGenerator(
            ASPECT_RATIOS, min_ratio=MIN_RATIO, max_ratio=MAX_RATIO, scales=list(scales) if scales else None
        )
        self.scales = tuple(float(scale) for scale in generator.scales)
        counts = set(generator.num_anchors_per_location())
        self.per_cell = counts.pop()
        image = torch.empty(1, 3, input_size_px, input_size_px)
        maps = [torch.empty(1, 1, side, side) for side in self.cells]
        self.boxes: Float[Tensor, "anchor 4"] = generator(ImageList(image, [(input_size_px, input_size_px)]), maps)[0]
        self._copies = {self.boxes.device: self.boxes}

    def on(self, device: torch.device) -> Float[Tensor, "anchor 4"]:
        """The boxes on a device; copied there once."""
        if device not in self._copies:
            self._copies[device] = self.boxes.to(device)
        return self._copies[device]
