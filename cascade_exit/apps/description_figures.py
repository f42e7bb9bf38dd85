"""Figures of what `describe` found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cascade_exit.data import ImageStore, NearDuplicate
from cascade_exit.report import (
    anchor_recall_map,
    anchor_trade_off,
    class_bars,
    co_occurrence_map,
    picture_pairs,
    save_figure,
)

MOST_PAIRS = 12


def draw_description(folder: Path, description: Mapping[str, Any], pairs: Sequence[NearDuplicate]) -> None:
    """Writes classes.png and, where there is something to show, co_occurrence, anchors, anchor_scales, near_duplicates.

    Args:
        folder: where to.
        description: content of description.json.
        pairs: near-duplicates, the most alike first.
    """
    roles = {
        role: {name: held["boxes"] for name, held in content["classes"].items()}
        for role, content in description["roles"].items()
    }
    save_figure(class_bars(roles, description["all"]), folder / "classes.png")
    together = description["co_occurrence"]
    if len(together["classes"]) > 1:
        figure = co_occurrence_map(np.array(together["images"]), together["classes"])
        save_figure(figure, folder / "co_occurrence.png")
    if description["anchors"]["boxes"]:
        save_figure(anchor_recall_map(description["anchors"]), folder / "anchors.png")
        save_figure(anchor_trade_off(description["anchors"]), folder / "anchor_scales.png")
    if pairs:
        save_figure(picture_pairs([_named(pair) for pair in pairs[:MOST_PAIRS]]), folder / "near_duplicates.png")


def _named(pair: NearDuplicate) -> Any:
    store = ImageStore()
    first, second = (
        (store.read(record), f"{role}: {record.path.name}")
        for role, record in zip(pair.roles, pair.records, strict=True)
    )
    return first, (second[0], f"{second[1]} ({pair.bits} bits)")
