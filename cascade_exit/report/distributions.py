"""Histograms of statistics: does a statistic tell the images apart that an exit answers as well as full?"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cascade_exit.report.canvas import COLOURS, new_figure, plain_axes, plain_title

BINS = 25


def statistic_histograms(
    values: Mapping[str, Mapping[str, Float[np.ndarray, " image"]]],
    good: Mapping[str, Bool[np.ndarray, " image"]],
    auroc: Mapping[str, Mapping[str, float | None]],
) -> Figure:
    """A row per statistic and a column per exit; the bars of each side sum to 1.

    Args:
        values: by exit name and statistic.
        good: by exit name, whether the exit's answer is as good as full's.
        auroc: by exit name and statistic, of telling the good ones apart; None where all are alike.
    """
    statistics = list(dict.fromkeys(name for of_exit in values.values() for name in of_exit))
    figure = new_figure(3.6 * len(values), 0.6 + 1.45 * len(statistics))
    grid = figure.subplots(len(statistics), len(values), squeeze=False)
    for column, (exit_name, of_exit) in enumerate(values.items()):
        for row, statistic in enumerate(statistics):
            axes = grid[row, column]
            if statistic not in of_exit:
                axes.set_visible(False)
                continue
            plain_axes(axes)
            edges = np.histogram_bin_edges(of_exit[statistic], BINS)
            for label, mask, colour in (
                ("as good as full", good[exit_name], COLOURS[2]),
                ("worse than full", ~good[exit_name], COLOURS[5]),
            ):
                # Shares of each side: the few images that are worse would not show beside the many others.
                weights = np.full(int(mask.sum()), 1 / max(1, int(mask.sum())))
                axes.hist(of_exit[statistic][mask], edges, weights=weights, color=colour, alpha=0.6, label=label)
            found = auroc[exit_name][statistic]
            plain_title(axes, f"{exit_name}: {statistic}")
            axes.set_title("" if found is None else f"AUROC {found:.2f}", loc="right", fontsize=8.5)
            axes.tick_params(labelsize=7.5)
            axes.xaxis.set_major_locator(MaxNLocator(5))
    figure.supylabel("share of the images of each side", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure
