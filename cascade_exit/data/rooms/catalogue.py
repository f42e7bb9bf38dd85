"""Which items there are, where they go, and how large a subject of each class is in a simple scene."""

from collections.abc import Callable
from random import Random

from cascade_exit.data.rooms import fixtures, furniture, smallware
from cascade_exit.data.rooms.chairs import chair
from cascade_exit.data.rooms.shapes import Item

Builder = Callable[[Random], Item]


FREE_STANDING: dict[str, Builder] = {
    "chair": chair,
    "dining table": furniture.dining_table,
    "potted plant": smallware.floor_plant,
    "couch": furniture.couch,
    "stool": furniture.stool,
    "bench": furniture.bench,
    "lamp": furniture.floor_lamp,
    "box": furniture.crate,
    "basket": furniture.basket,
    "ottoman": furniture.ottoman,
    "clothes rack": furniture.clothes_rack,
    "low table": furniture.low_table,
}

AGAINST_A_WALL: dict[str, Builder] = {
    "couch": furniture.couch,
    "bed": furniture.bed,
    "cabinet": furniture.cabinet,
    "shelf": furniture.shelf,
    "potted plant": smallware.floor_plant,
    "lamp": furniture.floor_lamp,
    "bench": furniture.bench,
    "chair": chair,
}

ON_TOP: dict[str, Builder] = {
    "tv": smallware.tv,
    "laptop": smallware.laptop,
    "book": smallware.lying_book,
    "cup": smallware.cup,
    "bottle": smallware.bottle,
    "vase": smallware.vase,
    "potted plant": smallware.small_plant,
    "lamp": furniture.table_lamp,
}

ON_A_WALL: dict[str, Builder] = {
    "window": fixtures.window,
    "picture": fixtures.picture,
    "door": fixtures.door,
    "radiator": fixtures.radiator,
    "board": fixtures.wall_board,
    "clock": smallware.clock,
    "tv": smallware.wall_tv,
}

SUPPORTS = ("cabinet", "low table", "dining table")

SUBJECT_HEIGHT: dict[str, tuple[float, float]] = {
    "chair": (0.23, 0.57),
    "couch": (0.20, 0.42),
    "bed": (0.18, 0.40),
    "dining table": (0.20, 0.45),
    "potted plant": (0.20, 0.60),
    "tv": (0.12, 0.40),
    "laptop": (0.10, 0.28),
    "book": (0.05, 0.12),
    "cup": (0.07, 0.18),
    "bottle": (0.12, 0.36),
    "clock": (0.08, 0.24),
    "vase": (0.12, 0.36),
}
"""Height of the subject of a simple scene, as a share of the picture's height."""


def support_of(name: str) -> Builder:
    """Give the builder of a piece of furniture that small things stand on."""
    return {**FREE_STANDING, **AGAINST_A_WALL}[name]
