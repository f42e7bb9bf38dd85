"""Picture grids of whole sets: a few images, evenly spread, with what each exit saw."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from cascade_exit.data import CocoSet, ImageStore
from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth
from cascade_exit.runs import atomic_path
from cascade_exit.visualization.grid import GridRow, exit_grid


def spread_ids(images: CocoSet, count: int) -> list[int]:
    """Ids of `count` images spread evenly over a set, those with objects if there are enough."""
    with_objects = [record.image_id for record in images.records if len(record.labels)]
    pool = with_objects if len(with_objects) >= count else [record.image_id for record in images.records]
    places = np.linspace(0, len(pool) - 1, min(count, len(pool)))
    return [pool[round(place)] for place in places]


def save_exit_grid(
    images: CocoSet,
    store: ImageStore,
    found: Mapping[str, Mapping[int, DetectionArrays]],
    image_ids: Collection[int],
    path: Path,
    notes: Mapping[int, str] | None = None,
    score_threshold: float = 0.3,
) -> None:
    """Draws the grid of some images into a PNG file.

    Args:
        images: the set.
        store: where decoded images come from.
        found: detections by exit name and image id.
        image_ids: which images, at least one.
        path: the file.
        notes: said below the ground truth, by image id.
        score_threshold: see `exit_grid`.
    """
    rows = [
        GridRow(
            store.read(images.by_id[image_id]),
            ImageTruth.from_record(images.by_id[image_id]),
            {name: of_exit[image_id] for name, of_exit in found.items()},
            (notes or {}).get(image_id, ""),
        )
        for image_id in image_ids
    ]
    with atomic_path(path) as temporary:
        exit_grid(rows, images.class_map.names, score_threshold).save(temporary, format="PNG")
