"""Pictures: boxes on images, grids of what each exit saw, distributions, videos."""

from cascade_exit.visualization.colors import class_color
from cascade_exit.visualization.draw import draw_boxes
from cascade_exit.visualization.figures import confidence_histograms
from cascade_exit.visualization.grid import GridRow, exit_grid
from cascade_exit.visualization.sets import save_exit_grid, spread_ids
from cascade_exit.visualization.strip import exit_strip
from cascade_exit.visualization.video import write_video

__all__ = [
    "GridRow",
    "class_color",
    "confidence_histograms",
    "draw_boxes",
    "exit_grid",
    "exit_strip",
    "save_exit_grid",
    "spread_ids",
    "write_video",
]
