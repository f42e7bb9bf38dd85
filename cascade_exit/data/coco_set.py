"""Reads and checks a COCO annotation file into image records."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from cascade_exit.data.annotation_file import read_annotation_file
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.problems import refuse, suggestion
from cascade_exit.data.record import CocoSet, ImageRecord
from cascade_exit.runs.errors import UserError

_Entry = dict[str, Any]


@dataclass
class _Objects:
    """Boxes of one image while its annotations are being read."""

    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


def read_coco(annotations: Path, images: Path, class_map: ClassMap) -> CocoSet:
    """Reads a COCO-format set, keeping the boxes of the wanted classes and every image.

    Boxes that leave the image are clipped to it. A missing ``area`` is the box's own. Boxes of classes that are not in
    the class map are left out unread, so that a fault in them stops nobody.

    Args:
        annotations: The annotation file.
        images: The folder that its file names start from.
        class_map: The wanted classes, by category name.

    Returns:
        The set, in the order of image ids.

    Raises:
        UserError: The file is missing or of another format, lacks a wanted class, or has faulty entries; the line names
            the first fault with its id and says how many more there are.
    """
    content = read_annotation_file(annotations)
    labels = labels_by_category(annotations, content["categories"], class_map)
    problems: list[str] = []
    entries = images_by_id(content["images"], problems)
    objects = _objects_by_image(content["annotations"], entries, labels, problems)
    refuse(problems, "item(s)", where=f"{annotations}: ")
    if not entries:
        raise UserError(f"{annotations}: lists no images")
    records = tuple(_record(entries[key], objects[key], images) for key in sorted(entries))
    return CocoSet(records=records, class_map=class_map, annotations=annotations)


def labels_by_category(path: Path, categories: list[_Entry], class_map: ClassMap) -> dict[int, int]:
    """Label of each category id; 0 for categories that are not wanted."""
    names: dict[int, str] = {}
    problems: list[str] = []
    for position, category in enumerate(categories):
        key, name = category.get("id"), category.get("name")
        if not _is_int(key) or not isinstance(name, str):
            problems.append(f"categories[{position}] needs an integer 'id' and a text 'name', got {key!r} and {name!r}")
        elif key in names:
            problems.append(f"category id {key} is given twice ({names[key]!r} and {name!r})")
        elif name in class_map.names and name in names.values():
            problems.append(f"category name {name!r} is given twice (the second time with id {key})")
        else:
            names[key] = name
    refuse(problems, "item(s)", where=f"{path}: ")
    missing = [name for name in class_map.names if name not in names.values()]
    if missing:
        more = f" (and {len(missing) - 1} more of the classes asked for)" if len(missing) > 1 else ""
        raise UserError(f"{path}: has no class {missing[0]!r}{more}; {suggestion(missing[0], names.values())}")
    return {key: class_map.label(name) if name in class_map.names else 0 for key, name in names.items()}


def images_by_id(images: list[_Entry], problems: list[str]) -> dict[int, _Entry]:
    """Image entries by id; what is wrong with any is added to ``problems``, one line each."""
    entries: dict[int, _Entry] = {}
    id_of_file: dict[str, int] = {}
    for position, entry in enumerate(images):
        problem = _image_problem(entry)
        if problem:
            problems.append(f"images[{position}] (image id {entry.get('id')!r}): {problem}")
            continue
        key, name = entry["id"], entry["file_name"]
        if key in entries:
            problems.append(f"image id {key} is given twice ({entries[key]['file_name']} and {name})")
        elif name in id_of_file:
            problems.append(f"{name} is listed twice (image ids {id_of_file[name]} and {key})")
        else:
            entries[key] = entry
            id_of_file[name] = key
    return entries


def _image_problem(entry: _Entry) -> str | None:
    if not _is_int(entry.get("id")):
        return f"'id' must be an integer, got {entry.get('id')!r}"
    if not isinstance(entry.get("file_name"), str) or not entry["file_name"]:
        return f"'file_name' must be the name of a file, got {entry.get('file_name')!r}"
    sizes = ["width", "height"]
    if "original_width" in entry or "original_height" in entry:
        sizes += ["original_width", "original_height"]
    for key in sizes:
        value = entry.get(key)
        if not _is_int(value) or value < 1:
            return f"{key!r} must be a whole number of pixels above 0, got {value!r}"
    return None


def _objects_by_image(
    annotations: list[_Entry], entries: dict[int, _Entry], labels: dict[int, int], problems: list[str]
) -> dict[int, _Objects]:
    objects = {key: _Objects() for key in entries}
    seen: set[int] = set()
    for position, annotation in enumerate(annotations):
        key = annotation.get("id")
        name = f"annotations[{position}]" if key is None else f"annotation id {key!r}"
        problem = _reference_problem(annotation, entries, labels)
        if problem is None and _is_int(key) and key in seen:
            problem = "this id is given twice"
        if problem is None and labels[annotation["category_id"]]:
            entry = entries[annotation["image_id"]]
            problem = _add_object(annotation, entry, labels[annotation["category_id"]], objects[entry["id"]])
            name += f" of {entry['file_name']} (image id {entry['id']})"
        if problem:
            problems.append(f"{name}: {problem}")
        if _is_int(key):
            seen.add(key)
    return objects


def _reference_problem(annotation: _Entry, entries: dict[int, _Entry], labels: dict[int, int]) -> str | None:
    for key, known, where in (("image_id", entries, "images"), ("category_id", labels, "categories")):
        value = annotation.get(key)
        if not _is_int(value) or value not in known:
            return f"{key} {value!r} is not among the file's {where}"
    if annotation.get("id") is not None and not _is_int(annotation["id"]):
        return "'id' must be an integer"
    return None


def _add_object(annotation: _Entry, entry: _Entry, label: int, objects: _Objects) -> str | None:
    """Adds the annotation's box to the image's objects, or says what is wrong with it."""
    corners = box_within(annotation.get("bbox"), entry)
    if isinstance(corners, str):
        return corners
    left, top, right, bottom = corners
    area = annotation.get("area")
    if area is None:
        area = (right - left) * (bottom - top)
    elif not _is_number(area) or not math.isfinite(area) or area < 0:
        return f"'area' must be a number of square pixels, got {area!r}"
    crowd = annotation.get("iscrowd") or 0
    if crowd not in (0, 1):
        return f"'iscrowd' must be 0 or 1, got {crowd!r}"
    objects.boxes.append((left, top, right, bottom))
    objects.labels.append(label)
    objects.crowd.append(bool(crowd))
    objects.areas.append(area)
    return None


def box_within(bbox: Any, entry: _Entry) -> tuple[float, float, float, float] | str:
    """A COCO bbox as xyxy clipped to its image, or what is wrong with it."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(_is_number(value) for value in bbox):
        return f"bbox must be [x, y, width, height] in pixels, got {bbox!r}"
    if not all(math.isfinite(value) for value in bbox):
        return f"bbox {bbox} is not finite"
    x, y, width, height = bbox
    if width <= 0 or height <= 0:
        return f"bbox {bbox} has no area: width and height must be above 0"
    corners = (max(0, x), max(0, y), min(entry["width"], x + width), min(entry["height"], y + height))
    left, top, right, bottom = (float(np.float32(corner)) for corner in corners)
    if left >= right or top >= bottom:
        return f"bbox {bbox} has no area inside the image of {entry['width']}x{entry['height']} pixels"
    return left, top, right, bottom


def _record(entry: _Entry, objects: _Objects, images: Path) -> ImageRecord:
    original = (entry["original_height"], entry["original_width"]) if "original_width" in entry else None
    group, difficulty = entry.get("group"), entry.get("difficulty")
    return ImageRecord(
        image_id=entry["id"],
        path=images / entry["file_name"],
        width=entry["width"],
        height=entry["height"],
        group=str(entry["id"] if group is None else group),
        boxes=np.array(objects.boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(objects.labels, dtype=np.int64),
        crowd=np.array(objects.crowd, dtype=bool),
        areas=np.array(objects.areas, dtype=np.float32),
        difficulty=None if difficulty is None else str(difficulty),
        original_size=original,
    )


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
