"""What a set holds of each class: boxes by role, their sizes, and how large they are in the image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from cascade_exit.report.canvas import COLOURS, INK, new_figure, plain_axes, plain_title

ROW_IN, LEAST_IN = 0.27, 1.0
# Counts that go beyond this, and are spread wider, need a logarithmic axis.
MOST_LINEAR, SPREAD_LINEAR = 1000, 50
_CLOSE: dict[str, Any] = {"fontsize": 8, "handletextpad": 0.3, "columnspacing": 1.0, "handlelength": 1.2}
# In shares of a row, so that equal counts of two roles both show.
_LIFTS = (-0.24, -0.08, 0.08, 0.24)
_SIZE_COLOURS = ("#9ecae1", "#4292c6", "#08519c")


def class_bars(roles: Mapping[str, Mapping[str, int]], content: Mapping[str, Any]) -> Figure:
    """Three panels with a row per class.

    Args:
        roles: number of boxes by role and class.
        content: of all roles together, as `SetContent` has it in plain values.
    """
    names = list(content["classes"])
    held = [content["classes"][name] for name in names]
    figure = new_figure(11.5, 1.4 + max(LEAST_IN, ROW_IN * len(names)))
    boxes, sizes, sides = figure.subplots(1, 3, sharey=True, gridspec_kw={"width_ratios": (4, 3, 3)})
    _role_bars(boxes, roles, names)
    _size_bars(sizes, held, content["area_unit"])
    _side_boxes(sides, held)
    boxes.set_yticks(range(len(names)), names, fontsize=9)
    boxes.set_ylim(len(names) - 0.4, -0.6)
    return figure


def _role_bars(axes: Axes, roles: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> None:
    """A dot per role and class: bars of a logarithmic scale have no foot, and stacked ones no length."""
    plain_axes(axes)
    rows = np.arange(len(names))
    counts = np.array([[boxes[name] for name in names] for boxes in roles.values()])
    for role, count, colour, lift in zip(roles, counts, COLOURS, _LIFTS, strict=False):
        axes.scatter(count, rows + lift, s=20, color=colour, label=role, zorder=3)
    if counts.max() < max(MOST_LINEAR, SPREAD_LINEAR * counts.min()):
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    elif counts.min() > 0:
        axes.set_xscale("log")
    else:
        # Linear below 1, so that a class without boxes shows at 0.
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-0.2, counts.max() * 1.6)
    if axes.get_xscale() != "linear":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    _title(axes, "boxes by role")


def _size_bars(axes: Axes, held: Sequence[Mapping[str, Any]], unit: str) -> None:
    plain_axes(axes)
    left = np.zeros(len(held))
    for size, colour in zip(held[0]["sizes"], _SIZE_COLOURS, strict=True):
        shares = np.array([each["sizes"][size] / max(1, each["boxes"]) for each in held])
        axes.barh(np.arange(len(held)), shares, left=left, height=0.7, color=colour, label=size)
        left += shares
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    axes.set_xticks((0, 0.25, 0.5, 0.75, 1))
    _title(axes, f"sizes, in {unit} pixels")


def _side_boxes(axes: Axes, held: Sequence[Mapping[str, Any]]) -> None:
    plain_axes(axes)
    for row, each in enumerate(held):
        if each["side_quantiles"]:
            lowest, low, middle, high, highest = each["side_quantiles"]
            axes.plot((lowest, highest), (row, row), color=COLOURS[4], linewidth=1.5, solid_capstyle="butt")
            axes.plot((low, high), (row, row), color=COLOURS[0], linewidth=7, solid_capstyle="butt")
            axes.plot((middle, middle), (row - 0.32, row + 0.32), color=INK, linewidth=2)
    axes.set_xlim(0, 1)
    _title(axes, "side of a box, share of the image's")
    axes.text(0, 1, "line: 0.1 to 0.9, bar: quartiles, tick: median", fontsize=8, va="bottom", transform=axes.transAxes)


def _title(axes: Axes, title: str) -> None:
    """The legend, if there is one, stands between the title and the axes, whatever the height of the figure."""
    plain_title(axes, title, pad_pt=22.0)
    axes.tick_params(labelsize=8)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=4, frameon=False, borderaxespad=0.1, **_CLOSE)
