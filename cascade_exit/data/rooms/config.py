"""What a set of generated rooms consists of: seed, counts, size, classes, mix of difficulties."""

import difflib
from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.runs.errors import UserError

Difficulty = Literal["empty", "simple", "crowded"]

ROLES = ("train", "val", "calibrate", "test")

COCO_CATEGORY_IDS = {
    "bottle": 44,
    "cup": 47,
    "chair": 62,
    "couch": 63,
    "potted plant": 64,
    "bed": 65,
    "dining table": 67,
    "tv": 72,
    "laptop": 73,
    "book": 84,
    "clock": 85,
    "vase": 86,
}
"""The classes that can be drawn, with the category ids that COCO gives them."""


@dataclass(frozen=True)
class RoleCounts:
    """How many images each role gets."""

    train: int = 1000
    val: int = 150
    calibrate: int = 150
    test: int = 200

    def __post_init__(self) -> None:
        for role in ROLES:
            if getattr(self, role) < 0:
                raise ValueError(f"images.{role} must be 0 or more, got {getattr(self, role)}")

    def of(self, role: str) -> int:
        """Give the number of images of ``role``."""
        return int(getattr(self, role))


@dataclass(frozen=True)
class DifficultyMix:
    """Shares of the three difficulties; they must add up to 1."""

    empty: float = 0.3
    simple: float = 0.35
    crowded: float = 0.35

    def __post_init__(self) -> None:
        shares = (self.empty, self.simple, self.crowded)
        if min(shares) < 0 or abs(sum(shares) - 1.0) > 1e-6:
            raise ValueError(f"difficulty_mix must be three shares from 0 that add up to 1, got {shares}")


@dataclass(frozen=True)
class RoomsConfig:
    """A set of generated indoor scenes.

    Attributes:
        seed: Everything that is drawn is a function of the seed, the role and the number of the image.
        images: Number of images per role.
        size_px: Width and height of a landscape image; every fifth or so is portrait, with the two swapped.
        classes: Names of the classes that are annotated, from ``COCO_CATEGORY_IDS``. The others may still
            appear, as clutter without annotation.
        difficulty_mix: Shares of empty, simple and crowded images, met exactly on any run of images.

    Raises:
        ValueError: When a number is out of range.
        UserError: When a class is unknown or named twice.
    """

    seed: int = 0
    images: RoleCounts = field(default_factory=RoleCounts)
    size_px: tuple[int, int] = (320, 240)
    classes: tuple[str, ...] = ("chair",)
    difficulty_mix: DifficultyMix = field(default_factory=DifficultyMix)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
        if not all(96 <= side <= 2048 for side in self.size_px):
            raise ValueError(f"size_px must be two sides from 96 to 2048 pixels, got {self.size_px}")
        if not self.classes:
            raise ValueError("classes must name at least one class, got none")
        for name in self.classes:
            if name not in COCO_CATEGORY_IDS:
                raise UserError(_unknown_class(name))
        if len(set(self.classes)) < len(self.classes):
            raise UserError(f"classes must name each class once, got {', '.join(self.classes)}")


def _unknown_class(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), COCO_CATEGORY_IDS, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"it draws {', '.join(sorted(COCO_CATEGORY_IDS))}"
    return f"classes: generated rooms have no class '{name}'; {hint}"
