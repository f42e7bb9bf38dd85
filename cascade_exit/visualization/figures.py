"""Figures of distributions."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cascade_exit.evaluation.confidence import HISTOGRAM_BINS, confidence_distribution


def confidence_histograms(values_by_exit: Mapping[str, Float[np.ndarray, " value"]]) -> Figure:
    """One histogram per exit above the next, with mean and spread; needs no display.

    Args:
        values_by_exit: confidences in [0, 1] by exit name, at least one exit; an exit may have none.

    Raises:
        ValueError: no exit, or a value that is no confidence.
    """
    if not values_by_exit:
        raise ValueError("confidence histograms need at least one exit")
    figure = Figure(figsize=(6.0, 0.8 + 1.5 * len(values_by_exit)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    axes = figure.subplots(len(values_by_exit), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, values_by_exit.items(), strict=True):
        axis.set_ylabel("share")
        axis.set_title(name, loc="left", fontsize=11, fontweight="bold")
        axis.spines[["top", "right"]].set_visible(False)
        found = confidence_distribution(values)
        if found is None:
            axis.set_title("no values", loc="right", fontsize=9)
            continue
        axis.stairs(found.histogram / found.count, edges, fill=True, color="#4c78a8")
        axis.axvline(found.mean, color="#e45756", linewidth=1.5)
        summary = f"mean {found.mean:.3f}, std {found.std:.3f}, n = {found.count:,}"
        axis.set_title(summary, loc="right", fontsize=9)
    axes[-1].set_xlim(0, 1)
    axes[-1].set_xlabel("confidence")
    return figure
