"""Chance decides about the room, the camera and the light."""

import math
from random import Random

from cascade_exit.data.rooms import palette
from cascade_exit.data.rooms.camera import Camera
from cascade_exit.data.rooms.scene import Light, Room, Rug, Surface
from cascade_exit.data.rooms.shapes import Colour

_FLOOR_CELLS = {"plain": 0.05, "planks": 0.13, "tiles": 0.4, "checker": 0.45, "parquet": 0.08}
_WALL_CELLS = {"plain": 0.04, "stripes": 0.16, "dado": 0.14, "bricks": 0.24, "diamonds": 0.2}


def sample_size(rng: Random, size_px: tuple[int, int]) -> tuple[int, int]:
    """Give the picture's width and height: landscape mostly, a fifth in portrait."""
    width, height = size_px
    return (height, width) if rng.random() < 0.2 else (width, height)


def sample_lens(rng: Random, size: tuple[int, int], narrowest: float, widest: float) -> float:
    """Give a focal length in pixels for a view angle in degrees over the longer side."""
    return max(size) / 2 / math.tan(math.radians(rng.uniform(narrowest, widest)) / 2)


def sample_camera(
    rng: Random, size: tuple[int, int], focal_px: float, x: float, yaw: float, pitch: float, height: float
) -> Camera:
    """Give a camera at the open side of the room, held almost level."""
    roll = rng.gauss(0, 0.012)
    return Camera(x, height, 0.0, yaw, pitch, roll, focal_px, *size)


def sample_room(rng: Random, width: float, depth: float) -> Room:
    """Give a room of the given floor with random surfaces and, at times, rugs."""
    height = rng.uniform(2.35, 3.1)
    paint = palette.wall_paint(rng)
    skirting: Colour = (236, 234, 228) if rng.random() < 0.6 else palette.wood(rng)
    rugs = tuple(_rug(rng, width, depth) for _ in range(rng.choice((0, 0, 1, 1, 2) if depth > 4 else (0, 1))))
    return Room(
        width=width,
        height=height,
        depth=depth,
        floor=_floor(rng),
        walls=_walls(rng, paint),
        ceiling=palette.hsv(0.1, rng.uniform(0, 0.06), rng.uniform(0.85, 0.98)),
        skirting=skirting,
        skirting_height=rng.uniform(0.06, 0.13),
        rugs=rugs,
    )


def sample_light(rng: Random, room: Room) -> Light:
    """Give light from a lamp or window: from above, from any side, seldom straight from the back."""
    x, y, z = rng.uniform(-0.9, 0.9), rng.uniform(0.6, 1.3), rng.uniform(-1.0, 0.4)
    length = math.sqrt(x * x + y * y + z * z)
    warm = rng.gauss(0, 0.07)
    tint = (1 + warm, 1 + rng.gauss(0, 0.015), 1 - warm)
    ambient = rng.uniform(0.5, 0.78)
    return Light(
        x=x / length,
        y=y / length,
        z=z / length,
        ambient=ambient,
        key=rng.uniform(0.95, 1.15) - ambient,
        tint=tint,
        exposure=rng.uniform(0.72, 1.12),
        gradient_seed=rng.getrandbits(63),
        gradient=rng.uniform(0.04, 0.22),
        sun_patch=_sun_patch(rng, room) if rng.random() < 0.25 else (),
    )


def _floor(rng: Random) -> Surface:
    pattern = rng.choice(("plain", "planks", "planks", "planks", "tiles", "tiles", "checker", "parquet"))
    first = palette.bare_wood(rng) if pattern in ("planks", "parquet") else palette.floor_stone(rng)
    if pattern == "plain":
        first = palette.blend(palette.fabric(rng), (150, 145, 138), 0.5)
    second = palette.shade(first, rng.uniform(0.55, 0.8) if rng.random() < 0.75 else 1.25)
    cell = _FLOOR_CELLS[pattern] * rng.uniform(0.8, 1.5)
    return Surface(pattern, first, second, cell, rng.uniform(0.5, 1.0), rng.getrandbits(16))


def _walls(rng: Random, paint: Colour) -> Surface:
    pattern = rng.choice(("plain", "plain", "plain", "plain", "stripes", "dado", "bricks", "diamonds"))
    if pattern == "bricks":
        paint = palette.hsv(rng.uniform(0.01, 0.06), rng.uniform(0.2, 0.55), rng.uniform(0.5, 0.85))
        second = palette.hsv(0.08, 0.08, rng.uniform(0.6, 0.8))
    elif pattern == "dado":
        second = palette.blend(palette.wall_paint(rng), palette.wood(rng), rng.uniform(0, 0.6))
    else:
        second = palette.blend(paint, palette.wall_paint(rng), rng.uniform(0.25, 0.7))
    cell = _WALL_CELLS[pattern] * rng.uniform(0.8, 1.5)
    return Surface(pattern, paint, second, cell, rng.uniform(0.6, 1.0), rng.getrandbits(16))


def _rug(rng: Random, width: float, depth: float) -> Rug:
    cloth = palette.fabric(rng)
    return Rug(
        x=rng.uniform(-0.3, 0.3) * width,
        z=rng.uniform(0.3, 0.75) * depth,
        half_width=rng.uniform(0.5, 1.3),
        half_depth=rng.uniform(0.4, 0.9),
        turn=rng.choice((0.0, 0.0, rng.uniform(-0.6, 0.6))),
        is_round=rng.random() < 0.25,
        colour=cloth,
        second=palette.blend(cloth, palette.fabric(rng), rng.uniform(0.4, 1.0)),
        bands=rng.choice((1, 3, 5, 7)),
    )


def _sun_patch(rng: Random, room: Room) -> tuple[tuple[float, float], ...]:
    """A slanted quadrilateral of sunlight on the floor, as (x, z) corners."""
    x, z = rng.uniform(-0.3, 0.3) * room.width, rng.uniform(0.4, 0.8) * room.depth
    width, length, slant = rng.uniform(0.5, 1.1), rng.uniform(0.6, 1.4), rng.uniform(-0.8, 0.8)
    return ((x, z), (x + width, z), (x + width + slant, z + length), (x + slant, z + length))
