"""The one solid that everything is built of, and the items made of such solids.

A part is a frustum: a rectangle or a many-sided disc at the bottom, another at the top, moved and scaled.
Boxes, legs, leaning backs, bowls, leaves and lamp shades are all frustums, so that the vertices of a whole
scene are computed in one go.

Coordinates are metres, x to the right, y up, z away from the viewer. An item stands on y = 0 with its middle
at x = z = 0 and looks along -z.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

Number = float | int
"""A length, an angle or a channel; whole numbers are written as such, and checks at run time tell the two apart."""

Colour = tuple[Number, Number, Number]


class Part(NamedTuple):
    """A frustum with one colour.

    ``x, y, z`` is the middle of the bottom face, ``base_*`` and ``top_*`` are half widths, ``lean_*`` is how
    far the middle of the top face is off. ``turn`` rotates the part about its own vertical axis. A ``facing``
    part lies with its axis along the depth, its top towards -z. ``glow`` mixes from shaded (0) to
    self-lit (1). ``owner`` is the index of the thing in the scene that the part belongs to.
    """

    is_round: bool
    facing: bool
    x: Number
    y: Number
    z: Number
    height: Number
    base_x: Number
    base_z: Number
    lean_x: Number
    lean_z: Number
    top_x: Number
    top_z: Number
    turn: Number
    red: Number
    green: Number
    blue: Number
    glow: Number
    owner: int


class Top(NamedTuple):
    """A level place where other items can be put, in the frame of the item."""

    x: Number
    y: Number
    z: Number
    half_width: Number
    half_depth: Number
    clearance: Number


@dataclass(frozen=True)
class Item:
    """Something that stands in a room: its name, its parts and the room it takes, in metres."""

    name: str
    parts: tuple[Part, ...]
    width: Number
    height: Number
    depth: Number
    tops: tuple[Top, ...] = ()


def box(
    colour: Colour,
    x: Number,
    y: Number,
    z: Number,
    width: Number,
    height: Number,
    depth: Number,
    lean: tuple[Number, Number] = (0.0, 0.0),
    taper: tuple[Number, Number] = (1.0, 1.0),
    turn: Number = 0.0,
    glow: Number = 0.0,
) -> Part:
    """Make a box with its bottom face centred at (x, y, z); ``taper`` scales the top face."""
    half_x, half_z = width / 2, depth / 2
    return Part(
        False, False, x, y, z, height, half_x, half_z, *lean, half_x * taper[0], half_z * taper[1], turn,
        *colour, glow, 0,
    )  # fmt: skip


def rod(
    colour: Colour,
    x: Number,
    y: Number,
    z: Number,
    radius: Number,
    height: Number,
    top: Number | None = None,
    lean: tuple[Number, Number] = (0.0, 0.0),
    glow: Number = 0.0,
    facing: bool = False,
) -> Part:
    """Make a round part of the given bottom radius, and top radius where it differs."""
    top_radius = radius if top is None else top
    return Part(True, facing, x, y, z, height, radius, radius, *lean, top_radius, top_radius, 0.0, *colour, glow, 0)


def lathe(colour: Colour, profile: list[tuple[Number, Number]], x: Number = 0.0, z: Number = 0.0) -> list[Part]:
    """Stack round parts along a profile of (height, radius) pairs, from the bottom up."""
    return [rod(colour, x, y0, z, r0, y1 - y0, r1) for (y0, r0), (y1, r1) in zip(profile, profile[1:], strict=False)]


def put(parts: tuple[Part, ...], x: Number, y: Number, z: Number, turn: Number, owner: int) -> list[Part]:
    """Move an item's parts to (x, y, z) in another frame, turned by ``turn`` radians, as thing ``owner``."""
    cosine, sine = math.cos(turn), math.sin(turn)
    return [
        part._replace(
            x=x + part.x * cosine + part.z * sine,
            y=y + part.y,
            z=z - part.x * sine + part.z * cosine,
            turn=part.turn + turn,
            owner=owner,
        )
        for part in parts
    ]
