"""What a scene consists of: room, camera, light, things and the groups of solids they stand in."""

import math
from dataclasses import dataclass, field

from cascade_exit.data.rooms.camera import Camera
from cascade_exit.data.rooms.config import Difficulty
from cascade_exit.data.rooms.shapes import Colour, Item, Part, put


@dataclass(frozen=True)
class Surface:
    """A floor or wall: pattern, two colours, the size of the pattern in metres and its contrast in 0..1."""

    pattern: str
    colour: Colour
    second: Colour
    cell: float
    contrast: float
    salt: int


@dataclass(frozen=True)
class Rug:
    """A rug on the floor: middle, half sizes, turn, colours; ``bands`` borders or stripes."""

    x: float
    z: float
    half_width: float
    half_depth: float
    turn: float
    is_round: bool
    colour: Colour
    second: Colour
    bands: int


@dataclass(frozen=True)
class Room:
    """A box that is open towards the viewer: x in +-width/2, y in 0..height, z up to depth."""

    width: float
    height: float
    depth: float
    floor: Surface
    walls: Surface
    ceiling: Colour
    skirting: Colour
    skirting_height: float
    rugs: tuple[Rug, ...]


@dataclass(frozen=True)
class Light:
    """Where the light comes from (unit vector towards it), how hard it is, its colour and exposure."""

    x: float
    y: float
    z: float
    ambient: float
    key: float
    tint: Colour
    exposure: float
    gradient_seed: int
    gradient: float
    sun_patch: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Thing:
    """One object: its class or kind, whether it is annotated, and the thing that it stands on."""

    name: str
    labelled: bool
    rests_on: int | None


@dataclass
class Group:
    """Solids that share a frame on the floor, such as a table with chairs around and cups on it."""

    x: float
    y: float
    z: float
    turn: float
    parts: list[Part] = field(default_factory=list)


@dataclass
class Scene:
    """A scene: ``things[i]`` owns the parts whose ``owner`` is i."""

    difficulty: Difficulty
    camera: Camera
    room: Room
    light: Light
    groups: list[Group] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    def add_group(self, x: float, y: float, z: float, turn: float) -> Group:
        """Open a new group at (x, y, z), turned by ``turn`` radians."""
        group = Group(x, y, z, turn)
        self.groups.append(group)
        return group

    def add(
        self, group: Group, item: Item, labelled: bool, x: float, y: float, z: float, turn: float,
        rests_on: int | None = None,
    ) -> int:  # fmt: skip
        """Put an item into a group, in the frame of the group, and give the number of the new thing."""
        number = len(self.things)
        self.things.append(Thing(item.name, labelled, rests_on))
        group.parts += put(item.parts, x, y, z, turn, number)
        return number

    def remove(self, numbers: set[int]) -> None:
        """Take things out of the scene, and what stands on them; the others keep their numbers."""
        gone = set(numbers)
        for number, thing in enumerate(self.things):
            if thing.rests_on in gone:
                gone.add(number)
        for group in self.groups:
            group.parts = [part for part in group.parts if part.owner not in gone]
        self.groups = [group for group in self.groups if group.parts]

    def only(self, number: int) -> "Scene":
        """Give a scene with nothing in the room but one thing."""
        groups = [
            Group(group.x, group.y, group.z, group.turn, parts)
            for group in self.groups
            if (parts := [part for part in group.parts if part.owner == number])
        ]
        return Scene(self.difficulty, self.camera, self.room, self.light, groups, self.things)


def toward(x: float, z: float, turn: float, dx: float, dz: float) -> tuple[float, float]:
    """Move from (x, z) by (dx, dz) given in a frame turned by ``turn``."""
    cosine, sine = math.cos(turn), math.sin(turn)
    return x + dx * cosine + dz * sine, z - dx * sine + dz * cosine
