"""Which classes leave early, and which gain by going on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade_exit.report.canvas import COLOURS, FAINT, new_figure, plain_axes

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, if there is one."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class ClassPoint:
    """A class.

    Attributes:
        name: of it.
        few: too few boxes for a claim; drawn hollow.
        early: share of the images that hold it which leave early.
        gains: by exit name, AP of the last exit minus AP of that exit, on all images.
    """

    name: str
    few: bool
    early: Estimate
    gains: Mapping[str, Estimate]


def class_figure(classes: Sequence[ClassPoint]) -> Figure:
    """Two panels with a line per class, those that leave early most often on top.

    Args:
        classes: at least one.
    """
    ordered = sorted(classes, key=lambda each: each.early.value)
    figure = new_figure(9.2, 1.3 + 0.3 * len(ordered))
    left, right = figure.subplots(1, 2, sharey=True)
    plain_axes(left, "Share of the images with it that leave early")
    plain_axes(right, "AP gained by going on to the last exit")
    _estimates(left, ordered, [each.early for each in ordered], COLOURS[0], 0.0)
    exits = list(dict.fromkeys(name for each in ordered for name in each.gains))
    for place, name in enumerate(exits):
        shift = 0.24 * (place - (len(exits) - 1) / 2)
        of_exit = [each.gains.get(name) for each in ordered]
        _estimates(right, ordered, of_exit, COLOURS[1 + place % (len(COLOURS) - 1)], -shift, f"from {name}")
    right.axvline(0, color=FAINT, linewidth=1)
    left.set_xlim(-0.02, 1.02)
    left.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    left.set_yticks(range(len(ordered)), [f"{each.name}{' *' if each.few else ''}" for each in ordered])
    left.set_ylim(-0.6, len(ordered) - 0.4)
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=len(exits), frameon=False)
    note = "Bars: 95 % bootstrap intervals." + (
        " * hollow: too few for a claim." if any(c.few for c in classes) else ""
    )
    figure.supxlabel(note, fontsize=8.5, color="#555555")
    return figure


def _estimates(
    axes: Axes,
    classes: Sequence[ClassPoint],
    estimates: Sequence[Estimate | None],
    colour: str,
    shift: float,
    label: str = "",
) -> None:
    for place, (each, estimate) in enumerate(zip(classes, estimates, strict=True)):
        if estimate is None:
            continue
        if estimate.interval:
            axes.plot(estimate.interval, [place + shift] * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
        face = "white" if each.few else colour
        axes.plot([estimate.value], [place + shift], "o", color=colour, markerfacecolor=face, markersize=5.5)
    axes.plot([], [], "o", color=colour, label=label or "_")
