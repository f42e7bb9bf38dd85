"""Boxes with labels on a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cascade_exit.visualization.colors import Color, class_color, text_color

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[int, int, int, int]
Picture = (
    Image.Image
    | UInt8[np.ndarray, "height width 3"]
    | UInt8[np.ndarray, "3 height width"]
    | UInt8[Tensor, "height width 3"]
    | UInt8[Tensor, "3 height width"]
)

SMALLEST_FONT_PX = 11
RIM: Color = (0, 0, 0)
MOST_COVERED = 0.1
"""Share of a label that another may cover before it is left out: heaped labels tell less than none."""


@dataclass(frozen=True)
class DrawnBox:
    """One box as it is to be drawn.

    Attributes:
        corners: xyxy in pixels of the picture.
        color: of the line and of the chip behind the text.
        text: on the chip; no chip where empty.
        dashed: draw the line in dashes.
    """

    corners: tuple[float, float, float, float]
    color: Color
    text: str = ""
    dashed: bool = False


def draw_boxes(
    image: Picture,
    boxes: Float[np.ndarray, "box 4"] | Float[Tensor, "box 4"],
    labels: Int[np.ndarray, " box"] | Int[Tensor, " box"],
    scores: Float[np.ndarray, " box"] | Float[Tensor, " box"] | None,
    class_names: Sequence[str],
) -> Image.Image:
    """A copy of the picture with each box in its class's colour, labelled by class name and score.

    Args:
        image: RGB.
        boxes: xyxy in pixels of the image.
        labels: 1-based class labels.
        scores: in [0, 1]; the best is drawn on top. None where there are none, as for ground truth.
        class_names: name of label i+1 at place i.
    """
    order = range(len(labels)) if scores is None else scores.argsort().tolist()
    drawn = []
    for index in order:
        label = int(labels[index])
        name = class_names[label - 1]
        text = name if scores is None else f"{name} {float(scores[index]):.2f}"
        drawn.append(DrawnBox(tuple(boxes[index].tolist()), class_color(label), text))
    return draw(as_picture(image), drawn)


def as_picture(image: Picture) -> Image.Image:
    """An RGB copy of an image given as PIL image, array or tensor, channels first or last."""
    if isinstance(image, Image.Image):
        return image.convert("RGB").copy()
    array = image.cpu().numpy() if isinstance(image, Tensor) else image
    if array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(array))


def draw(picture: Image.Image, boxes: Sequence[DrawnBox]) -> Image.Image:
    """Draws boxes onto the picture, in the order given, and then their labels; returns the picture."""
    canvas = ImageDraw.Draw(picture)
    line = line_width(picture.size)
    lettering = label_font(picture.size)
    for box in boxes:
        _draw_outline(canvas, box, line)
    placed: list[Rectangle] = []
    # Labels of the last boxes choose their places first, since those boxes lie on top.
    for box in reversed(boxes):
        if box.text:
            placed += _draw_chip(canvas, box, line, lettering, placed)
    return picture


def line_width(size: tuple[int, int]) -> int:
    """Line width in pixels for a picture of that (width, height)."""
    return max(2, round(min(size) / 130))


def label_font(size: tuple[int, int]) -> Font:
    """Font for labels in a picture of that (width, height)."""
    return font(max(SMALLEST_FONT_PX, round(min(size) / 32)))


@lru_cache
def font(size_px: int) -> Font:
    """The font of all pictures, in a size."""
    return ImageFont.load_default(size=size_px)


def _corners(box: DrawnBox, size: tuple[int, int]) -> Rectangle:
    """Pixels of the box's corners, drawn into the picture so that every edge can be seen."""
    x1, y1, x2, y2 = box.corners
    left, top = min(max(round(x1), 0), size[0] - 1), min(max(round(y1), 0), size[1] - 1)
    return left, top, max(min(round(x2), size[0] - 1), left), max(min(round(y2), size[1] - 1), top)


def _draw_outline(canvas: ImageDraw.ImageDraw, box: DrawnBox, line: int) -> None:
    left, top, right, bottom = _corners(box, canvas.im.size)
    # A thin dark rim keeps the line visible on a background of the same colour.
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=RIM)
    if not box.dashed:
        canvas.rectangle((left, top, right, bottom), outline=box.color, width=line)
        return
    for x1, x2 in _dashes(left, right, 4 * line):
        canvas.rectangle((x1, top, x2, top + line - 1), fill=box.color)
        canvas.rectangle((x1, bottom - line + 1, x2, bottom), fill=box.color)
    for y1, y2 in _dashes(top, bottom, 4 * line):
        canvas.rectangle((left, y1, left + line - 1, y2), fill=box.color)
        canvas.rectangle((right - line + 1, y1, right, y2), fill=box.color)


def _dashes(first: int, last: int, period: int) -> list[tuple[int, int]]:
    """Dashes of equal length that begin and end at the corners."""
    pieces = 2 * max(1, round((last - first) / period)) + 1
    marks = np.linspace(first, last, pieces + 1).round().astype(int).tolist()
    return list(pairwise(marks))[::2]


def _draw_chip(
    canvas: ImageDraw.ImageDraw, box: DrawnBox, line: int, lettering: Font, placed: Sequence[Rectangle]
) -> list[Rectangle]:
    """Draws the box's label and returns its place; none where it would lie on the labels that are there."""
    padding = max(2, line)
    text = _shortened(canvas, box.text, lettering, canvas.im.size[0] - 2 * padding)
    x1, _, x2, _ = canvas.textbbox((0, 0), text, font=lettering)
    # Height of a line rather than of these letters, so that labels side by side are alike.
    _, top, _, bottom = canvas.textbbox((0, 0), "Ag", font=lettering)
    size = (math.ceil(x2 - x1) + 2 * padding, math.ceil(bottom - top) + 2 * padding)
    chip, covered = _chip_place(_corners(box, canvas.im.size), size, canvas.im.size, placed)
    if covered > MOST_COVERED * size[0] * size[1]:
        return []
    canvas.rectangle((chip[0], chip[1], chip[2] - 1, chip[3] - 1), fill=box.color)
    corner = (chip[0] + padding - x1, chip[1] + padding - top)
    canvas.text(corner, text, fill=text_color(box.color), font=lettering)
    return [chip]


def _shortened(canvas: ImageDraw.ImageDraw, text: str, lettering: Font, room: int) -> str:
    if canvas.textlength(text, font=lettering) <= room:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + "…"
        if canvas.textlength(shorter, font=lettering) <= room:
            return shorter
    return ""


def _chip_place(
    box: Rectangle, chip: tuple[int, int], canvas: tuple[int, int], placed: Sequence[Rectangle]
) -> tuple[Rectangle, int]:
    """The place at the box, wholly on the canvas, that covers other labels least, and how many pixels it covers.

    Of equal places the first is taken: above the box, inside, below, then the same at its right end.
    """
    left, top, right, bottom = box
    width, height = chip
    lefts, tops = (left, right + 1 - width), (top - height, top, bottom + 1, bottom + 1 - height)
    wishes = [(x, y) for x in lefts for y in tops]
    places = [_pushed_inside(wish, chip, canvas) for wish in wishes]
    # Pushed up or down, a label would cover the box's edge or lose touch with it.
    near = [place for place, wish in zip(places, wishes, strict=True) if place[1] == wish[1]] or places
    covered = [sum(_shared(place, other) for other in placed) for place in near]
    least = min(covered)
    return near[covered.index(least)], least


def _pushed_inside(corner: tuple[int, int], chip: tuple[int, int], canvas: tuple[int, int]) -> Rectangle:
    x = max(0, min(corner[0], canvas[0] - chip[0]))
    y = max(0, min(corner[1], canvas[1] - chip[1]))
    return x, y, x + chip[0], y + chip[1]


def _shared(one: Rectangle, other: Rectangle) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
