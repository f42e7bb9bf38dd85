"""Generated indoor scenes as a plain COCO data set: rooms, and chairs and other things in them."""

from cascade_exit.data.rooms.config import COCO_CATEGORY_IDS, DifficultyMix, RoleCounts, RoomsConfig
from cascade_exit.data.rooms.generate import generate_rooms

__all__ = ["COCO_CATEGORY_IDS", "DifficultyMix", "RoleCounts", "RoomsConfig", "generate_rooms"]
