"""Exit rates, average precision and speedup over the thresholds of two exits."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cascade_exit.report.canvas import new_figure, plain_title

# More cells than this are too small for their numbers.
MOST_NUMBERS = 36
MOST_TICKS = 10


def threshold_heat_maps(
    first: tuple[str, Float[np.ndarray, " first"]],
    second: tuple[str, Float[np.ndarray, " second"]],
    maps: Mapping[str, Float[np.ndarray, "first second"]],
    statistic: str,
    chosen: tuple[float, float] | None = None,
) -> Figure:
    """One map per quantity, with its numbers written in where there is room for them.

    Args:
        first: an exit's name and its thresholds, ascending; -inf stops all images, inf none.
        second: of the other exit.
        maps: quantities by name, such as "AP".
        statistic: what the thresholds are on.
        chosen: thresholds of the cell to frame.
    """
    figure = new_figure(0.6 + 3.5 * len(maps), 3.9)
    for axes, (name, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        image = axes.imshow(values.T, origin="lower", aspect="auto", cmap="viridis")
        plain_title(axes, name)
        axes.set_xticks(*_ticks(first[1]), rotation=90)
        axes.set_yticks(*_ticks(second[1]))
        axes.tick_params(labelsize=8)
        axes.set_xlabel(f"{statistic} at {first[0]}", fontsize=9)
        if values.size <= MOST_NUMBERS:
            _write_numbers(axes, values)
        else:
            figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)
        if chosen is not None:
            place = (_place(first[1], chosen[0]), _place(second[1], chosen[1]))
            axes.add_patch(Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2))
    figure.axes[0].set_ylabel(f"{statistic} at {second[0]}", fontsize=9)
    return figure


def _place(thresholds: np.ndarray, threshold: float) -> int:
    return int(np.flatnonzero(thresholds == threshold)[0])


def _write_numbers(axes: Axes, values: np.ndarray) -> None:
    middle = (values.min() + values.max()) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value <= middle else "black"
        axes.text(row, column, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)


def _ticks(thresholds: np.ndarray) -> tuple[list[int], list[str]]:
    places = list(range(0, len(thresholds), -(-len(thresholds) // MOST_TICKS)))
    if places[-1] != len(thresholds) - 1:
        places.append(len(thresholds) - 1)
    return places, [_said(float(thresholds[place])) for place in places]


def _said(threshold: float) -> str:
    if math.isinf(threshold):
        return "none stops" if threshold > 0 else "all stop"
    return f"{threshold:.3g}"
