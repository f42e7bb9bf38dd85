"""What all figures share: a canvas that needs no display, colours, and writing."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cascade_exit.runs import atomic_path

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#b8a800")
INK, FAINT = "#222222", "#9a9a9a"


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure."""
    figure = Figure(figsize=(width_in, height_in), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, title: str = "") -> None:
    """Axes without a box around them, with a title at the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    if title:
        plain_title(axes, title)


def plain_title(axes: Axes, title: str, pad_pt: float | None = None) -> None:
    """A title at the left, as far above the axes as is asked for."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=pad_pt)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
