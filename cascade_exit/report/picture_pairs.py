"""Pictures side by side, two by two."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from cascade_exit.report.canvas import INK, new_figure

PAIRS_PER_ROW = 2
ROW_IN = 2.3

Named = tuple[UInt8[np.ndarray, "height width 3"], str]


def picture_pairs(pairs: Sequence[tuple[Named, Named]]) -> Figure:
    """Two pairs in a row, each picture under its name.

    Args:
        pairs: of pictures with their names, at least one.
    """
    rows = -(-len(pairs) // PAIRS_PER_ROW)
    figure = new_figure(11.5, ROW_IN * rows)
    grid = figure.subplots(rows, 2 * PAIRS_PER_ROW, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    pictures = [picture for pair in pairs for picture in pair]
    for axes, (image, name) in zip(grid, pictures, strict=False):
        axes.imshow(image)
        axes.set_title(name, fontsize=7, color=INK)
    return figure
