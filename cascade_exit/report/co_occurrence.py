"""Which classes stand together in an image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cascade_exit.report.canvas import new_figure, plain_title

CELL_IN, MOST_NUMBERED = 0.52, 20
CELL_IN_CROWDED = 0.17


def co_occurrence_map(images: Int[np.ndarray, "class class"], classes: Sequence[str]) -> Figure:
    """Number of images that hold both classes, written in where there is room; the diagonal is every image of a class.

    Args:
        images: symmetric.
        classes: names in the order of rows and columns.
    """
    numbered = len(classes) <= MOST_NUMBERED
    side = 1.9 + max(2.5, len(classes) * (CELL_IN if numbered else CELL_IN_CROWDED))
    figure = new_figure(side if numbered else side + 0.8, side)
    axes = figure.subplots()
    shown = np.ma.masked_equal(images, 0)
    scale = LogNorm(1, max(2, int(images.max())))
    mesh = axes.imshow(shown, cmap="Blues", norm=scale)
    ticks, size = range(len(classes)), 9 if numbered else 6
    axes.set_xticks(ticks, classes, rotation=90, fontsize=size)
    axes.set_yticks(ticks, classes, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    plain_title(axes, "images that hold both classes")
    if numbered:
        for (row, column), count in np.ndenumerate(images):
            if count:
                colour = "white" if scale(count) > 0.6 else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7.5, color=colour)
    else:
        figure.colorbar(mesh, ax=axes, shrink=0.6).ax.tick_params(labelsize=8)
    return figure
