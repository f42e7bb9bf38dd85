"""The figure of what `evaluate` says class by class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade_exit.report import ClassPoint, Estimate, class_figure, save_figure


def draw_classes(classes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws who leaves early and who gains by going on.

    Args:
        classes: of metrics.json, of an evaluation with a policy.
        path: of the PNG file.
    """
    points = [
        ClassPoint(
            name,
            figures["few"],
            _estimate(figures, "early", figures["early"]),
            {exit_name: _estimate(figures, f"gain.{exit_name}", gain) for exit_name, gain in figures["gain"].items()},
        )
        for name, figures in classes.items()
    ]
    if points:
        save_figure(class_figure(points), path)


def _estimate(figures: Mapping[str, Any], path: str, value: float) -> Estimate:
    interval = figures.get("intervals", {}).get(path)
    return Estimate(value, tuple(interval) if interval else None)
