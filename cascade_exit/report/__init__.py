"""Figures of what policies gain and cost, and of what a search tried."""

from cascade_exit.report.canvas import save_figure
from cascade_exit.report.class_figure import ClassPoint, Estimate, class_figure
from cascade_exit.report.distributions import statistic_histograms
from cascade_exit.report.heat_maps import threshold_heat_maps
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
    "class_figure",
    "reliability_diagrams",
    "save_figure",
    "statistic_histograms",
    "threshold_heat_maps",
    "trade_off",
    "trials_figure",
]
