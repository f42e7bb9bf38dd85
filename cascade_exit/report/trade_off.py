"""Average precision over mean cost: what a policy gains over leaving at random, and what it could gain."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy import ndarray

from cascade_exit.report.canvas import COLOURS, FAINT, INK, new_figure, plain_axes

STYLES, REFERENCE_STYLES = ("-", "--"), (":", "-.")
# Marks nearer than this share of an axis, along both axes, would write over each other's names.
CLOSE = 0.12


@dataclass(frozen=True)
class Curve:
    """A line.

    Attributes:
        name: in the legend.
        costs: mean cost of an image, ascending.
        aps: average precision at those costs.
        reference: drawn faint: a bound rather than something to use.
    """

    name: str
    costs: Float[ndarray, " point"]
    aps: Float[ndarray, " point"]
    reference: bool = False


@dataclass(frozen=True)
class Mark:
    """A point with a name: an exit alone, a static detector, the operating point chosen.

    Attributes:
        name: written beside it.
        cost: mean cost of an image.
        ap: average precision.
        chosen: drawn as a star.
    """

    name: str
    cost: float
    ap: float
    chosen: bool = False


def trade_off(curves: Sequence[Curve], marks: Sequence[Mark], cost_unit: str, measure: str = "AP") -> Figure:
    """Curves and points of average precision over mean cost.

    Args:
        curves: policies and references.
        marks: single points.
        cost_unit: such as "MMACs" or "ms".
        measure: name of the average precision.
    """
    figure = new_figure(8.4, 5.2)
    axes = figure.subplots()
    plain_axes(axes)
    for place, curve in enumerate(each for each in curves if not each.reference):
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]
        axes.plot(
            curve.costs, curve.aps, style, color=colour, label=curve.name, linewidth=1.5, marker=".", markersize=4
        )
    for place, curve in enumerate(each for each in curves if each.reference):
        axes.plot(curve.costs, curve.aps, REFERENCE_STYLES[place % 2], color=FAINT, label=curve.name, linewidth=1.5)
    axes.margins(x=0.1, y=0.1)
    for mark in marks:
        shape, size = ("*", 150) if mark.chosen else ("s", 30)
        axes.scatter([mark.cost], [mark.ap], marker=shape, s=size, color=INK, zorder=3)
    # Only now do the axes know how far the points lie apart on paper.
    for mark in marks:
        offset = (0, 9) if _named_above(mark, marks, axes) else (0, -16)
        name = axes.annotate(
            mark.name, (mark.cost, mark.ap), offset, textcoords="offset points", ha="center", fontsize=8.5, color=INK
        )
        name.set_path_effects([withStroke(linewidth=3, foreground="white")])
    axes.set_xlabel(f"mean cost of an image ({cost_unit})")
    axes.set_ylabel(measure)
    if curves:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
    return figure


def _named_above(mark: Mark, marks: Sequence[Mark], axes: Axes) -> bool:
    """Whether a mark's name goes above it: that of the star, unless another mark stands close above or below."""
    costs, aps = (abs(high - low) for low, high in (axes.get_xlim(), axes.get_ylim()))
    for other in marks:
        close = abs(other.cost - mark.cost) < CLOSE * costs and abs(other.ap - mark.ap) < CLOSE * aps
        if close and other is not mark:
            return _rank(mark) > _rank(other)
    return mark.chosen


def _rank(mark: Mark) -> tuple[float, bool, float]:
    """What is higher, or at one height the star: a policy that never stops stands where full does."""
    return mark.ap, mark.chosen, mark.cost
