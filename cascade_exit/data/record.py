"""What is known of one image, and of a set of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int64

from cascade_exit.data.class_map import ClassMap


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image of a set with its true boxes.

    Args:
        image_id: Id in the annotation file.
        path: The image file.
        width: Width in pixels, as annotated.
        height: Height in pixels, as annotated.
        group: What must not be split between roles: a video, a photo burst; the image's id otherwise.
        boxes: xyxy in pixels of the image, within it.
        labels: Class labels, from 1.
        crowd: True where a box encloses a crowd.
        areas: The annotation's ``area`` in square pixels, by which COCO's evaluation calls objects small or large.
        difficulty: ``empty``, ``simple`` or ``crowded`` where the set records it.
        original_size: Height and width of the photo before it was resized, where the annotation carries them.
    """

    image_id: int
    path: Path
    width: int
    height: int
    group: str
    boxes: Float32[np.ndarray, "object 4"]
    labels: Int64[np.ndarray, "object"]
    crowd: Bool[np.ndarray, "object"]
    areas: Float32[np.ndarray, "object"]
    difficulty: str | None = None
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class CocoSet:
    """Images with true boxes of the classes of one class map, in the order of their ids.

    Args:
        records: The images; those without a box of any class are kept as negatives.
        class_map: What the labels mean.
        annotations: The file that the records were read from; none where they come from several.
    """

    records: tuple[ImageRecord, ...]
    class_map: ClassMap
    annotations: Path | None = None

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def by_id(self) -> dict[int, ImageRecord]:
        """Records by image id."""
        return {record.image_id: record for record in self.records}

    @cached_property
    def boxes_per_class(self) -> tuple[int, ...]:
        """Boxes of each class in the order of the class map; those around crowds do not count."""
        labels = [record.labels[~record.crowd] for record in self.records]
        counts = np.bincount(np.concatenate([*labels, np.zeros(0, np.int64)]), minlength=len(self.class_map) + 1)
        return tuple(counts[1:].tolist())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of everything in the annotations that a result can depend on.

        It covers the choice of records, ids, file names, sizes, boxes, labels, crowd flags, areas and the class map;
        neither the folder nor the order of the annotation file changes it. Pixels are not read.
        """
        digest = hashlib.sha256(json.dumps(self.class_map.to_list()).encode())
        for record in self.records:
            digest.update(_record_bytes(record))
        return digest.hexdigest()

    def keep(self, wanted: Callable[[ImageRecord], bool]) -> "CocoSet":
        """The same set with only the records for which ``wanted`` is true."""
        return replace(self, records=tuple(filter(wanted, self.records)))


def join_sets(sets: Sequence[CocoSet]) -> CocoSet:
    """Several sets as one.

    Ids are kept unless files use the same ones; then those of each file are moved up behind those of the file before.
    Groups of the same name are one group, except those that are only named after an id that was moved.

    Args:
        sets: With no image in common, all of one class map.
    """
    shared = len({key for one in sets for key in one.by_id}) < sum(map(len, sets))
    records: list[ImageRecord] = []
    for one in sets:
        moved = records[-1].image_id + 1 - one.records[0].image_id if shared and records else 0
        records += [_moved(record, moved) for record in one.records]
    return CocoSet(tuple(sorted(records, key=lambda record: record.image_id)), sets[0].class_map)


def _moved(record: ImageRecord, by: int) -> ImageRecord:
    image_id = record.image_id + by
    return replace(
        record,
        image_id=image_id,
        group=str(image_id) if record.group == str(record.image_id) else record.group,
    )


def _record_bytes(record: ImageRecord) -> bytes:
    facts = [
        record.image_id,
        record.path.name,
        record.width,
        record.height,
        len(record.labels),
        record.difficulty,
        record.original_size,
    ]
    arrays: Iterable[np.ndarray] = (
        record.boxes.astype("<f4"),
        record.labels.astype("<i8"),
        record.crowd.astype("u1"),
        record.areas.astype("<f4"),
    )
    return b"".join([json.dumps(facts).encode(), *(array.tobytes() for array in arrays)])
