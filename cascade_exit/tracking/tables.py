"""Tables, with photos and their boxes, and charts of curves, for loggers that can show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.evaluation import DetectionArrays

# Far below what anyone would show: the viewer has a slider for the score.
LOWEST_SCORE = 0.05
MOST_BOXES = 50


@dataclass(frozen=True, eq=False)
class BoxedImage:
    """A photo with layers of boxes, as a cell of a table.

    Attributes:
        pixels: RGB.
        layers: Boxes by the layer's name, such as an exit's.
        class_names: Name of label i+1 at place i.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    layers: Mapping[str, DetectionArrays]
    class_names: tuple[str, ...]


@rank_zero_only
def log_table(logger: Logger, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Log a table; loggers that cannot show tables pass over it.

    Args:
        logger: A logger from ``make_logger``.
        key: Its name, such as ``operating_points``.
        columns: Their names.
        rows: Numbers, texts, None or ``BoxedImage``, a column's all of one kind.
    """
    if not isinstance(logger, WandbLogger):
        return
    import wandb

    cells = [[_boxed(cell) if isinstance(cell, BoxedImage) else cell for cell in row] for row in rows]
    logger.experiment.log({key: wandb.Table(columns=list(columns), data=cells)})


@rank_zero_only
def log_curves(
    logger: Logger, key: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, x_name: str
) -> None:
    """Log lines in one chart; loggers that cannot show charts pass over it.

    Args:
        logger: A logger from ``make_logger``.
        key: Its name, such as ``trade_off``.
        curves: x and y of the points of each line, by name.
        title: Above the chart.
        x_name: Below the x axis.
    """
    if not isinstance(logger, WandbLogger):
        return
    import wandb

    xs, ys = zip(*curves.values(), strict=True)
    chart = wandb.plot.line_series(list(xs), list(ys), keys=list(curves), title=title, xname=x_name)
    logger.experiment.log({key: chart})


def _boxed(image: BoxedImage) -> Any:
    import wandb

    names = dict(enumerate(image.class_names, start=1))
    boxes = {name: {"box_data": _box_data(layer, names), "class_labels": names} for name, layer in image.layers.items()}
    classes = [{"id": label, "name": name} for label, name in names.items()]
    return wandb.Image(image.pixels, boxes=boxes, classes=classes, file_type="jpg")


def _box_data(found: DetectionArrays, names: Mapping[int, str]) -> list[dict[str, Any]]:
    best = [place for place in np.argsort(-found.scores, kind="stable") if found.scores[place] >= LOWEST_SCORE]
    return [
        {
            "position": dict(zip(("minX", "minY", "maxX", "maxY"), found.boxes[place].tolist(), strict=True)),
            "domain": "pixel",
            "class_id": int(found.labels[place]),
            "box_caption": f"{names[int(found.labels[place])]} {found.scores[place]:.2f}",
            "scores": {"score": float(found.scores[place])},
        }
        for place in best[:MOST_BOXES]
    ]
