"""Ground truth and what each exit saw, picture by picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cascade_exit.evaluation.truth import DetectionArrays, DetectionsLike, ImageTruth
from cascade_exit.visualization.colors import FALSE, MISSED, RIGHT, class_color
from cascade_exit.visualization.draw import DrawnBox, Picture, as_picture, draw, font
from cascade_exit.visualization.outcomes import Outcomes, box_outcomes

GRID_WIDTH_PX = 1400
GAP_PX = 10
HEADER_PX = 34
CAPTION_PX = 26
TALLEST = 1.25
"""Height of a picture in widths of its cell; a taller one is made narrower."""
BACKGROUND = (250, 250, 250)
INK = (30, 30, 30)
FAINT_INK = (110, 110, 110)


@dataclass(frozen=True)
class GridRow:
    """One picture of the grid.

    Attributes:
        image: RGB, of any size: it is shown at the size that `truth` names.
        truth: its ground truth.
        detections: by exit name, in the pixels of the ground truth.
        note: said below the ground truth, such as where the image stops.
    """

    image: Picture
    truth: ImageTruth
    detections: Mapping[str, DetectionsLike | DetectionArrays]
    note: str = ""


def exit_grid(rows: Sequence[GridRow], class_names: Sequence[str], score_threshold: float = 0.3) -> Image.Image:
    """A grid with a row per picture and a column for the ground truth and for each exit.

    An exit's boxes are green where they find an object (same class, IoU 0.5 or more) and red where they do not;
    objects that it misses are dashed. Boxes of the ground truth have the colours of their classes.

    Args:
        rows: at least one, all with the same exits.
        class_names: name of label i+1 at place i.
        score_threshold: detections below are neither shown nor counted.

    Returns:
        A picture 1400 pixels wide.

    Raises:
        ValueError: no rows, or rows with different exits.
    """
    if not rows:
        raise ValueError("a grid needs at least one row")
    exits = list(rows[0].detections)
    if any(list(row.detections) != exits for row in rows):
        raise ValueError("every row of a grid must have the same exits in the same order")
    columns = 1 + len(exits)
    cell_width = (GRID_WIDTH_PX - GAP_PX * (columns + 1)) // columns
    sizes = [_shown_size(row.truth, cell_width) for row in rows]
    height = HEADER_PX + sum(size[1] + CAPTION_PX + GAP_PX for size in sizes) + CAPTION_PX
    grid = Image.new("RGB", (GRID_WIDTH_PX, height), BACKGROUND)
    lefts = [GAP_PX + column * (cell_width + GAP_PX) for column in range(columns)]
    for left, title in zip(lefts, ["ground truth", *exits], strict=True):
        _write(grid, (left + cell_width // 2, HEADER_PX // 2), title, 17, INK)
    top = HEADER_PX
    for row, size in zip(rows, sizes, strict=True):
        cells = [_truth_cell(row, size, class_names)]
        cells += [_exit_cell(row, name, size, class_names, score_threshold) for name in exits]
        for left, (picture, caption) in zip(lefts, cells, strict=True):
            grid.paste(picture, (left + (cell_width - size[0]) // 2, top))
            _write(grid, (left + cell_width // 2, top + size[1] + CAPTION_PX // 2), caption, 13, FAINT_INK)
        top += size[1] + CAPTION_PX + GAP_PX
    _draw_legend(grid, top, score_threshold)
    return grid


def _shown_size(truth: ImageTruth, cell_width: int) -> tuple[int, int]:
    scale = min(cell_width / truth.width, TALLEST * cell_width / truth.height)
    return max(1, round(truth.width * scale)), max(1, round(truth.height * scale))


def _shown_image(row: GridRow, size: tuple[int, int]) -> Image.Image:
    return as_picture(row.image).resize(size, Image.Resampling.LANCZOS)


def _shown_box(box: np.ndarray, truth: ImageTruth, size: tuple[int, int]) -> tuple[float, float, float, float]:
    x, y = size[0] / truth.width, size[1] / truth.height
    return float(box[0] * x), float(box[1] * y), float(box[2] * x), float(box[3] * y)


def _truth_cell(row: GridRow, size: tuple[int, int], class_names: Sequence[str]) -> tuple[Image.Image, str]:
    truth = row.truth
    drawn = [
        DrawnBox(
            _shown_box(truth.boxes[index], truth, size),
            class_color(label),
            _truth_text(class_names, label, bool(truth.crowd[index])),
            dashed=bool(truth.crowd[index]),
        )
        for index, label in enumerate(truth.labels.tolist())
    ]
    objects = int((~truth.crowd).sum())
    caption = f"{objects} {'object' if objects == 1 else 'objects'}"
    return draw(_shown_image(row, size), drawn), f"{caption}; {row.note}" if row.note else caption


def _exit_cell(
    row: GridRow, name: str, size: tuple[int, int], class_names: Sequence[str], score_threshold: float
) -> tuple[Image.Image, str]:
    found = _above(row.detections[name], score_threshold)
    outcomes = box_outcomes(row.truth, found)
    missed = [
        DrawnBox(_shown_box(row.truth.boxes[index], row.truth, size), MISSED, dashed=True)
        for index in np.flatnonzero(outcomes.missed)
    ]
    drawn = [
        DrawnBox(
            _shown_box(found.boxes[index], row.truth, size),
            RIGHT if outcomes.right[index] else FALSE,
            _detection_text(class_names, int(found.labels[index]), float(found.scores[index])),
        )
        for index in np.argsort(found.scores)
        if not outcomes.on_crowd[index]
    ]
    # Dashes lie on top: through their gaps a line at the same place still shows.
    return draw(_shown_image(row, size), drawn + missed), _caption(outcomes)


def _truth_text(class_names: Sequence[str], label: int, crowd: bool) -> str:
    # Where there is one class only, its name on every box would hide more than it tells.
    name = class_names[label - 1] if len(class_names) > 1 else ""
    return f"{name} (crowd)".strip() if crowd else name


def _detection_text(class_names: Sequence[str], label: int, score: float) -> str:
    name = class_names[label - 1] if len(class_names) > 1 else ""
    return f"{name} {score:.2f}".strip()


def _above(found: DetectionsLike | DetectionArrays, score_threshold: float) -> DetectionArrays:
    arrays = found if isinstance(found, DetectionArrays) else DetectionArrays.from_tensors(found)
    kept = arrays.scores >= score_threshold
    return DetectionArrays(arrays.boxes[kept], arrays.scores[kept], arrays.labels[kept])


def _caption(outcomes: Outcomes) -> str:
    wrong = int((~outcomes.right & ~outcomes.on_crowd).sum())
    return f"{int(outcomes.right.sum())} right, {wrong} false, {int(outcomes.missed.sum())} missed"


def _draw_legend(grid: Image.Image, top: int, score_threshold: float) -> None:
    canvas = ImageDraw.Draw(grid)
    middle = top + CAPTION_PX // 2 - GAP_PX // 2
    left = GAP_PX
    for color, text in ((RIGHT, "right (IoU 0.5 or more)"), (FALSE, "false"), (MISSED, "missed")):
        canvas.rectangle((left, middle - 5, left + 10, middle + 5), outline=color, width=3)
        canvas.text((left + 16, middle), text, fill=FAINT_INK, font=font(13), anchor="lm")
        left += 36 + round(canvas.textlength(text, font=font(13)))
    canvas.text((left, middle), f"scores from {score_threshold:g}", fill=FAINT_INK, font=font(13), anchor="lm")


def _write(grid: Image.Image, middle: tuple[int, int], text: str, size_px: int, color: tuple[int, int, int]) -> None:
    ImageDraw.Draw(grid).text(middle, text, fill=color, font=font(size_px), anchor="mm")
