"""How well anchors cover boxes: by class and size, and against the number of anchors per box."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade_exit.report.canvas import COLOURS, FAINT, INK, new_figure, plain_axes, plain_title

ROW_IN, LEAST_IN = 0.27, 1.0
# Where the colours of the map are too dark for dark numbers.
DARK_BELOW, DARK_ABOVE = 0.15, 0.85
SIZES = ("all", "small", "medium", "large")


def anchor_recall_map(anchors: Mapping[str, Any]) -> Figure:
    """Share of boxes with an anchor that reaches the matcher's IoU: a row per class, a column per size.

    Args:
        anchors: plain values, as in description.json.
    """
    rows = {**anchors["classes"], "all": anchors}
    figure = new_figure(5.5, 0.9 + max(LEAST_IN, ROW_IN * len(rows)))
    axes = figure.subplots()
    plain_title(axes, f"boxes with an anchor of IoU {anchors['matcher_iou']:g} ({anchors['role']})")
    recall = np.array([[fits[size]["recall"] if size in fits else np.nan for size in SIZES] for fits in rows.values()])
    axes.imshow(recall, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(recall):
        if not np.isnan(value):
            colour = "white" if value < DARK_BELOW or value > DARK_ABOVE else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(SIZES)), SIZES, fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def anchor_trade_off(anchors: Mapping[str, Any]) -> Figure:
    """Share of boxes covered over anchors per box, for other scales and other IoUs of the matcher.

    Args:
        anchors: plain values, as in description.json.
    """
    figure = new_figure(7.5, 4.4)
    axes = figure.subplots()
    plain_axes(axes, f"boxes covered, and anchors per box ({anchors['role']})")
    tried = anchors["search"]["tried"]
    beaten = [trial for trial in tried[1:] if not trial["unbeaten"]]
    front = [trial for trial in tried[1:] if trial["unbeaten"]]
    iou = f"IoU {anchors['matcher_iou']:g}"
    _points(axes, beaten, FAINT, f"other scales, {iou}")
    _points(axes, front, COLOURS[0], f"other scales that none beats, {iou}")
    matcher = anchors["matcher"]
    axes.plot(*_places(matcher), color=COLOURS[1], marker="s", markersize=4, label="scales in use, other IoUs")
    _points(axes, [anchors], COLOURS[5], f"in use: {_written(anchors['scales'])}, {iou}")
    for place, trial in enumerate(front):
        # Unbeaten ones lie near each other: labels to the left and the right in turns.
        _label(axes, trial, _written(trial["scales"]), to_left=place % 2 == 0)
    for fits in matcher:
        if fits["iou"] != anchors["matcher_iou"]:
            _label(axes, fits, f"IoU {fits['iou']:g}")
    axes.set_xlabel("anchors per box of at least that IoU", fontsize=9)
    axes.set_ylabel("share of boxes with such an anchor", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.2, y=0.1)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _places(fits: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [each["all"]["anchors_per_box"] for each in fits], [each["all"]["recall"] for each in fits]


def _points(axes: Axes, fits: Sequence[Mapping[str, Any]], colour: str, label: str) -> None:
    axes.scatter(*_places(fits), color=colour, s=34, zorder=3, label=label)


def _label(axes: Axes, fits: Mapping[str, Any], text: str, to_left: bool = False) -> None:
    place = (fits["all"]["anchors_per_box"], fits["all"]["recall"])
    offset, side = ((-6, 4), "right") if to_left else ((6, -10), "left")
    axes.annotate(text, place, xytext=offset, textcoords="offset points", ha=side, fontsize=7.5, color=INK)


def _written(scales: Sequence[float]) -> str:
    """The first three scales tell the tried ones apart."""
    return ", ".join(f"{scale:g}" for scale in scales[:3]) + ", …"
