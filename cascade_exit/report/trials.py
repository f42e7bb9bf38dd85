"""What a search tried: one figure over another, or one figure over the trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cascade_exit.report.canvas import COLOURS, FAINT, INK, new_figure, plain_axes


@dataclass(frozen=True)
class Tried:
    """A trial that gave figures.

    Attributes:
        number: written beside it where it is among the best.
        values: one or two figures.
        best: no other trial beats it in all of them.
    """

    number: int
    values: tuple[float, ...]
    best: bool


def trials_figure(trials: Sequence[Tried], measures: Sequence[str], larger_is_better: Sequence[bool]) -> Figure:
    """The first measure over the second with the front of those that none beats, or a single one over the trials.

    Args:
        trials: those that gave figures, at least one.
        measures: names of the one or two measures.
        larger_is_better: of each.
    """
    figure = new_figure(8.4, 5.2)
    axes = figure.subplots()
    if len(measures) == 1:
        _course(axes, trials, measures[0], larger_is_better[0])
    else:
        _front(axes, trials, measures, larger_is_better)
    axes.legend(frameon=False, fontsize=9, loc="lower right" if larger_is_better[0] else "upper right")
    return figure


def _front(axes: Axes, trials: Sequence[Tried], measures: Sequence[str], larger: Sequence[bool]) -> None:
    plain_axes(axes, "Trials, and those that no other beats in both")
    best = sorted((trial for trial in trials if trial.best), key=lambda trial: trial.values[1])
    rest = [trial for trial in trials if not trial.best]
    axes.plot(*_columns(rest), "o", color=FAINT, markersize=6, label="beaten")
    axes.plot(*_columns(best), "-o", color=COLOURS[0], markersize=8, linewidth=1.2, label="best trade-offs")
    for trial in best:
        place = (trial.values[1], trial.values[0])
        axes.annotate(str(trial.number), place, (-6, 6), textcoords="offset points", ha="right", fontsize=9, color=INK)
    axes.set_xlabel(_with_direction(measures[1], larger[1]))
    axes.set_ylabel(_with_direction(measures[0], larger[0]))
    axes.xaxis.set_major_formatter(FuncFormatter(_in_millions))
    axes.margins(0.08)


def _course(axes: Axes, trials: Sequence[Tried], measure: str, larger: bool) -> None:
    plain_axes(axes, "Trials in the order in which they were drawn")
    ordered = sorted(trials, key=lambda trial: trial.number)
    numbers, values = [trial.number for trial in ordered], [trial.values[0] for trial in ordered]
    axes.plot(numbers, values, "o", color=FAINT, markersize=6, label="trial")
    best = (np.maximum if larger else np.minimum).accumulate(values)
    axes.step(numbers, best, where="post", color=COLOURS[0], linewidth=1.6, label="best so far")
    for trial in ordered:
        if trial.best:
            axes.plot(
                trial.number, trial.values[0], "*", color=COLOURS[5], markersize=15, label=f"trial {trial.number}"
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(_with_direction(measure, larger))
    axes.margins(0.08)


def _columns(trials: Sequence[Tried]) -> tuple[list[float], list[float]]:
    return [trial.values[1] for trial in trials], [trial.values[0] for trial in trials]


def _with_direction(measure: str, larger: bool) -> str:
    return f"{measure} ({'larger' if larger else 'smaller'} is better)"


def _in_millions(value: float, _place: int) -> str:
    return f"{value / 1e6:g} M" if abs(value) >= 1e6 else f"{value:g}"
