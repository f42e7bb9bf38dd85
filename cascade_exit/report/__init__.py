"""Figures of what policies gain and cost, of what a search tried, and of what is in a set."""

from cascade_exit.report.anchor_recall import anchor_recall_map, anchor_trade_off
from cascade_exit.report.canvas import save_figure
from cascade_exit.report.class_bars import class_bars
from cascade_exit.report.class_figure import ClassPoint, Estimate, class_figure
from cascade_exit.report.co_occurrence import co_occurrence_map
from cascade_exit.report.distributions import statistic_histograms
from cascade_exit.report.heat_maps import threshold_heat_maps
from cascade_exit.report.picture_pairs import picture_pairs
from cascade_exit.report.reliability import Reliability, reliability_diagrams
from cascade_exit.report.trade_off import Curve, Mark, trade_off
from cascade_exit.report.trials import Tried, trials_figure

__all__ = [
    "ClassPoint",
    "Curve",
    "Estimate",
    "Mark",
    "Reliability",
    "Tried",
    "anchor_recall_map",
    "anchor_trade_off",
    "class_bars",
    "co_occurrence_map",
    "picture_pairs",
    "class_figure",
    "reliability_diagrams",
    "save_figure",
    "statistic_histograms",
    "threshold_heat_maps",
    "trade_off",
    "trials_figure",
]
