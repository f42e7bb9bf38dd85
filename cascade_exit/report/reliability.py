"""Reliability diagrams: how often a detection of a score is correct."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade_exit.evaluation.calibration import ECE_BINS
from cascade_exit.report.canvas import COLOURS, FAINT, new_figure, plain_axes, plain_title


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores and outcomes of one exit.

    Attributes:
        scores: in [0, 1].
        correct: whether each detection found an object at IoU 0.5.
        ece: expected calibration error, for the title; None where there is no detection.
    """

    scores: Float[np.ndarray, " detection"]
    correct: Bool[np.ndarray, " detection"]
    ece: float | None


def reliability_diagrams(before: Mapping[str, Reliability], after: Mapping[str, Reliability]) -> Figure:
    """Two rows, before and after calibration, with a column per exit.

    Bars: share of correct detections per bin of scores; the dashed line is where they would be equal. Below the bars,
    the number of detections in each bin on a logarithmic scale.

    Args:
        before: by exit name.
        after: the same exits.
    """
    figure = new_figure(3.1 * len(before), 6.0)
    rows = figure.subplots(2, len(before), sharex=True, sharey=True, squeeze=False)
    for row, (state, sides) in zip(rows, (("before", before), ("after", after)), strict=True):
        for axes, (name, side) in zip(row, sides.items(), strict=True):
            _diagram(axes, side)
            plain_title(axes, f"{name}, {state}: " + ("no detection" if side.ece is None else f"ECE {side.ece:.4f}"))
    for axes in rows[-1]:
        axes.set_xlabel("score")
    for axes in rows[:, 0]:
        axes.set_ylabel("share that is correct")
    return figure


def _diagram(axes: Axes, side: Reliability) -> None:
    plain_axes(axes)
    edges = np.linspace(0, 1, ECE_BINS + 1)
    place = np.minimum((side.scores * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    count = np.bincount(place, minlength=ECE_BINS)
    right = np.bincount(place, side.correct.astype(np.float64), ECE_BINS)
    share = np.divide(right, count, out=np.zeros(ECE_BINS), where=count > 0)
    axes.bar(edges[:-1], share, width=1 / ECE_BINS, align="edge", color=COLOURS[0], edgecolor="white", linewidth=0.5)
    axes.plot([0, 1], [0, 1], linestyle="--", color=FAINT, linewidth=1)
    for left, number, height in zip(edges, count, share, strict=False):
        if number:
            axes.text(left + 0.5 / ECE_BINS, height + 0.02, f"{number:,}", ha="center", fontsize=5.5, rotation=90)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.15)
