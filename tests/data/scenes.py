"""Pictures and annotation files made for tests, with a truth that can be read off the pixels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cascade_exit.data import ImageRecord

BACKGROUND = (90, 90, 90)
MARK = (255, 255, 255)
COLOURS = ((230, 20, 20), (20, 220, 20), (20, 20, 230), (220, 210, 10), (210, 10, 210))


def paint(height: int, width: int, boxes: Sequence[Sequence[int]], mark_px: int = 0) -> np.ndarray:
    """A grey picture with one rectangle of its own colour per box, and a white mark on each centre."""
    picture = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes, COLOURS, strict=False):
        picture[y1:y2, x1:x2] = colour
        cx, cy, half = (x1 + x2) // 2, (y1 + y2) // 2, mark_px // 2
        picture[cy - half : cy + half, cx - half : cx + half] = MARK
    return picture


def pixels_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mask of the pixels that are nearer to a colour than half way to anything else that is painted."""
    others = [other for other in (*COLOURS, BACKGROUND, MARK, (124, 116, 104)) if other != colour]
    distance = np.abs(picture.astype(int) - colour).sum(axis=-1)
    other = np.min([np.abs(picture.astype(int) - wrong).sum(axis=-1) for wrong in others], axis=0)
    return distance < other


def extent(mask: np.ndarray) -> list[int] | None:
    """Smallest xyxy box around the true pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else None


def record(
    path: Path,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]] = (),
    image_id: int = 1,
    group: str | None = None,
    crowd: Sequence[bool] | None = None,
) -> ImageRecord:
    """A record as reading would make it; labels count up from 1."""
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return ImageRecord(
        image_id=image_id,
        path=path,
        width=size[1],
        height=size[0],
        group=group or str(image_id),
        boxes=corners,
        labels=np.arange(1, len(corners) + 1),
        crowd=np.array([False] * len(corners) if crowd is None else crowd, dtype=bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
    )


def annotation(image_id: int, bbox: Sequence[Any], category_id: int = 62, **more: Any) -> dict[str, Any]:
    """An annotation of COCO's form; its id is to be given or left to ``write_coco``."""
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "area": 1.0, "iscrowd": 0, **more}


def image(image_id: int, width: int = 40, height: int = 30, **more: Any) -> dict[str, Any]:
    """An image entry of COCO's form."""
    return {"id": image_id, "file_name": f"{image_id}.png", "width": width, "height": height, **more}


def write_coco(
    path: Path,
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]] = (),
    categories: Sequence[dict[str, Any]] = ({"id": 62, "name": "chair"}, {"id": 18, "name": "dog"}),
) -> Path:
    """Writes an annotation file, numbering the annotations that have no id."""
    numbered = [{"id": number, **entry} for number, entry in enumerate(annotations, start=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": list(images), "annotations": numbered, "categories": list(categories)}))
    return path


def write_set(root: Path, name: str, count: int, first_id: int = 1, group_size: int = 1) -> None:
    """Writes ``images/`` and ``annotations/<name>.json`` with a box on every second picture."""
    entries, annotations = [], []
    (root / "images").mkdir(parents=True, exist_ok=True)
    for number in range(first_id, first_id + count):
        box = [number % 7 + 2, 4, number % 7 + 22, 24]
        has_object = number % 2 == 1
        Image.fromarray(paint(48, 64, [box] if has_object else [])).save(root / "images" / f"{number}.png")
        more = {"group": f"burst{number // group_size}"} if group_size > 1 else {}
        entries.append(image(number, 64, 48, **more))
        if has_object:
            annotations.append(annotation(number, [box[0], box[1], 20, 20], area=400.0))
    write_coco(root / "annotations" / f"{name}.json", entries, annotations)
