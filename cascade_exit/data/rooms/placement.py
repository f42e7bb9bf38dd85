"""Putting items into a scene so that nothing stands in, or in front of, what it must not."""

import math
from dataclasses import dataclass, field
from random import Random

from cascade_exit.data.rooms.catalogue import ON_TOP
from cascade_exit.data.rooms.scene import Group, Scene, toward
from cascade_exit.data.rooms.shapes import Item, Top
from cascade_exit.data.rooms.smallware import book

WALLS = ("back", "left", "right")

_NEAR_M = 0.35
_WALL_GAP_M = 0.08


@dataclass(frozen=True)
class Footprint:
    """A rectangle on the floor: middle, half sizes, turn."""

    x: float
    z: float
    half_width: float
    half_depth: float
    turn: float

    def corners(self) -> list[tuple[float, float]]:
        """Give the four corners as (x, z)."""
        return [
            toward(self.x, self.z, self.turn, sx * self.half_width, sz * self.half_depth)
            for sx, sz in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]

    def overlaps(self, other: "Footprint") -> bool:
        """Say whether two rectangles share floor (separating axes)."""
        distance = math.hypot(self.x - other.x, self.z - other.z)
        if distance > math.hypot(self.half_width, self.half_depth) + math.hypot(other.half_width, other.half_depth):
            return False
        return not (self._separates(other) or other._separates(self))

    def _separates(self, other: "Footprint") -> bool:
        local = [toward(0.0, 0.0, -self.turn, x - self.x, z - self.z) for x, z in other.corners()]
        return (
            min(x for x, _ in local) >= self.half_width
            or max(x for x, _ in local) <= -self.half_width
            or min(z for _, z in local) >= self.half_depth
            or max(z for _, z in local) <= -self.half_depth
        )


@dataclass(frozen=True)
class Extent:
    """Where something appears: columns, rows (pixels) and depths (metres)."""

    left: float
    top: float
    right: float
    bottom: float
    near: float
    far: float

    def meets(self, other: "Extent", margin_px: float) -> bool:
        """Say whether two rectangles in the picture come nearer than a margin."""
        return (
            self.left - margin_px < other.right
            and other.left - margin_px < self.right
            and self.top - margin_px < other.bottom
            and other.top - margin_px < self.bottom
        )


@dataclass
class Placer:
    """Places items in one scene.

    Attributes:
        scene: The scene that is filled.
        classes: Names that are annotated.
        rng: Source of chance.
        subject: Something that nothing may hide, once set.
    """

    scene: Scene
    classes: tuple[str, ...]
    rng: Random
    subject: Extent | None = None
    _taken: list[Footprint] = field(default_factory=list)
    _walls: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)

    def on_floor(self, item: Item, x: float, z: float, turn: float, gap: float = 0.04) -> tuple[Group, int] | None:
        """Stand an item on the floor; None when there is no room for it."""
        group = self.reserve(item.width, item.depth, item.height, x, z, turn, gap)
        if group is None:
            return None
        return group, self.scene.add(group, item, item.name in self.classes, 0.0, 0.0, 0.0, 0.0)

    def reserve(
        self, width: float, depth: float, height: float, x: float, z: float, turn: float, gap: float = 0.04
    ) -> Group | None:
        """Open a group on a free rectangle of floor; None when it is not free or hides the subject."""
        footprint = Footprint(x, z, width / 2 + gap, depth / 2 + gap, turn)
        if not self._inside(footprint) or any(footprint.overlaps(other) for other in self._taken):
            return None
        extent = self._extent(footprint, 0.0, height)
        if extent.near < _NEAR_M or self._hides_subject(extent):
            return None
        self._taken.append(footprint)
        return self.scene.add_group(x, 0.0, z, turn)

    def along_wall(self, item: Item, wall: str) -> tuple[Group, int] | None:
        """Stand an item with its back to a wall at a random place; None when there is no room for it."""
        room = self.scene.room
        off = item.depth / 2 + _WALL_GAP_M
        if wall == "back":
            spare = room.width / 2 - item.width / 2 - 0.06
            x, z, turn = self.rng.uniform(-spare, spare), room.depth - off, 0.0
        else:
            side = -1 if wall == "left" else 1
            spare = room.depth - item.width / 2 - 0.06
            x, z, turn = side * (room.width / 2 - off), self.rng.uniform(0.8, max(spare, 0.8)), side * math.pi / 2
        return self.on_floor(item, x, z, turn, gap=0.02)

    def on_wall(self, item: Item, wall: str, y: float) -> tuple[Group, int] | None:
        """Hang an item on a wall at a random place; None when something hangs there or it is out of view."""
        room, half = self.scene.room, item.width / 2
        if wall == "back":
            spare = room.width / 2 - half - 0.05
            along = self.rng.uniform(-spare, spare)
            x, z, turn = along, room.depth - item.depth / 2, 0.0
        else:
            side = -1 if wall == "left" else 1
            along = self.rng.uniform(half + 0.6, max(room.depth - half - 0.05, half + 0.6))
            x, z, turn = side * (room.width / 2 - item.depth / 2), along, side * math.pi / 2
        spot = (along - half - 0.05, along + half + 0.05, y - 0.05, y + item.height + 0.05)
        others = self._walls.setdefault(wall, [])
        if y + item.height > room.height - 0.05 or any(_overlap(spot, other) for other in others):
            return None
        extent = self._extent(Footprint(x, z, half, item.depth / 2, turn), y, item.height)
        if extent.near < _NEAR_M or self._hides_subject(extent):
            return None
        others.append(spot)
        group = self.scene.add_group(x, y, z, turn)
        return group, self.scene.add(group, item, item.name in self.classes, 0.0, 0.0, 0.0, 0.0)

    def set_on_top(self, group: Group, support: int, top: Top, names: tuple[str, ...]) -> None:
        """Fill a level place with small things of the given names, side by side."""
        x = top.x - top.half_width
        depth = 2 * top.half_depth
        while names and x < top.x + top.half_width - 0.06:
            name = self.rng.choice(names)
            if name == "book" and self.rng.random() < (0.7 if top.clearance < 0.5 else 0.35):
                x = self._book_row(group, support, top, x)
            else:
                thing = ON_TOP[name](self.rng)
                fits = thing.height < top.clearance and thing.depth <= depth + 0.1
                if fits and x + thing.width < top.x + top.half_width:
                    slack = max((depth - thing.depth) / 2, 0.0)
                    z = top.z + self.rng.uniform(-slack, slack)
                    turn = self.rng.uniform(-0.25, 0.25)
                    self._set(group, support, thing, x + thing.width / 2, top.y, z, turn)
                    x += thing.width
            x += self.rng.uniform(0.04, 0.3)

    def subject_on_top(self, group: Group, support: int, item: Item, top: Top) -> int:
        """Put one thing in the middle of a level place."""
        return self._set(group, support, item, top.x, top.y, top.z, self.rng.uniform(-0.5, 0.5))

    def extent_of(self, group: Group, item: Item, y: float) -> Extent:
        """Tell where an item in the middle of a group appears in the picture."""
        footprint = Footprint(group.x, group.z, item.width / 2, item.depth / 2, group.turn)
        return self._extent(footprint, group.y + y, item.height)

    def _book_row(self, group: Group, support: int, top: Top, x: float) -> float:
        for _ in range(self.rng.randint(3, 8)):
            thing = book(self.rng)
            if x + thing.width > top.x + top.half_width or thing.height > top.clearance:
                break
            self._set(group, support, thing, x + thing.width / 2, top.y, top.z + self.rng.uniform(0, 0.02), 0.0)
            x += thing.width + 0.002
        return x

    def _set(self, group: Group, support: int, item: Item, x: float, y: float, z: float, turn: float) -> int:
        return self.scene.add(group, item, item.name in self.classes, x, y, z, turn, rests_on=support)

    def _inside(self, footprint: Footprint) -> bool:
        room = self.scene.room
        return all(abs(x) < room.width / 2 - 0.05 and z < room.depth - 0.05 for x, z in footprint.corners())

    def _extent(self, footprint: Footprint, y: float, height: float) -> Extent:
        points = [
            self.scene.camera.project_point(x, level, z) for x, z in footprint.corners() for level in (y, y + height)
        ]
        columns, rows, depths = zip(*points, strict=True)
        return Extent(min(columns), min(rows), max(columns), max(rows), min(depths), max(depths))

    def _hides_subject(self, extent: Extent) -> bool:
        return self.subject is not None and extent.near < self.subject.far and extent.meets(self.subject, 2.0)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
