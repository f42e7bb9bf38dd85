"""What the page's charts share: figures without a ground of their own, so that the page's light or dark shows."""

import html
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from cascade_exit.report.canvas import COLOURS
from cascade_exit.report.page.source import ReportedRun
from cascade_exit.visualization.colors import class_color

GREY = "#8a8a8a"
DASHES = ("solid", "dash", "dot", "dashdot")
_LABEL_WIDTH = 24


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: above it.
        figure: of plotly.
        runs: whose numbers it shows.
        wide: takes the whole width.
        least_px: width below which it is scrolled.
    """

    title: str
    figure: go.Figure
    runs: Sequence[ReportedRun]
    wide: bool = False
    least_px: int = 0

    @property
    def height_px(self) -> int:
        """As the figure says."""
        return int(self.figure.layout.height)


def new_figure(x: str, y: str, height_px: int = 300, **layout: Any) -> go.Figure:
    """An empty figure; text and lines take the page's colours when it is shown."""
    margin = {"l": 8, "r": 8, "t": 8, "b": 8, "autoexpand": True}
    figure = go.Figure(layout={"template": None, "height": height_px, "margin": margin, "showlegend": False})
    figure.update_layout(paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", **layout)
    axis = {"automargin": True, "gridcolor": "rgba(128,128,128,0.22)", "zeroline": False, "title": {"standoff": 8}}
    figure.update_xaxes(**axis, title_text=x)
    figure.update_yaxes(**axis, title_text=y)
    return figure


def share_bars(figure: go.Figure, exit_name: str, rates: Mapping[str, float]) -> None:
    """Adds an exit's pieces to horizontal bars of shares, by the bar's label; pieces with room have their number."""
    figure.add_bar(
        x=list(rates.values()),
        y=list(rates),
        orientation="h",
        name=exit_name,
        marker={"color": exit_colour(exit_name)},
        text=[f"{100 * rate:.0f} %" if rate >= 0.06 else "" for rate in rates.values()],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": "#111"},
        hovertemplate="%{y}<br>%{fullData.name}: %{x:.1%}<extra></extra>",
    )


def run_colour(place: int) -> str:
    """Of the run at this place in the report, on the whole page: after the first eight, half as bright."""
    colour = COLOURS[place % len(COLOURS)]
    if place // len(COLOURS) % 2 == 0:
        return colour
    return "#" + "".join(f"{int(colour[at : at + 2], 16) * 11 // 20:02x}" for at in (1, 3, 5))


def run_dash(place: int) -> str:
    """A further look, for more runs than there are colours."""
    return DASHES[place // len(COLOURS) % len(DASHES)]


def exit_colour(name: str) -> str:
    """Of an exit, on the whole page: exit1, exit2, full and then the others have the colours of the first classes."""
    number = int(match[1]) if (match := re.fullmatch(r"exit(\d+)", name)) else 3
    red, green, blue = class_color(number if number < 3 or not match else number + 1)
    return f"#{red:02x}{green:02x}{blue:02x}"


def plain_text(label: str) -> str:
    """A label as plotly must have it, which reads tags in text."""
    return html.escape(label, quote=False)


def wrapped(label: str) -> str:
    """A label in short lines."""
    return "<br>".join(plain_text(line) for line in textwrap.wrap(label, _LABEL_WIDTH)) or plain_text(label)
