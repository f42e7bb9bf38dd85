"""Plants, screens, books, cups, bottles, vases and clocks: what stands on tables, shelves and walls."""

import math
from random import Random

from cascade_exit.data.rooms import palette
from cascade_exit.data.rooms.shapes import Colour, Item, Part, box, lathe, put, rod


def floor_plant(rng: Random) -> Item:
    """A plant to stand on the floor, 0.6 to 1.5 m high."""
    return _plant(rng, rng.uniform(0.6, 1.5), rng.uniform(0.13, 0.2))


def small_plant(rng: Random) -> Item:
    """A plant to stand on a table or shelf."""
    return _plant(rng, rng.uniform(0.26, 0.42), rng.uniform(0.06, 0.09))


def _plant(rng: Random, height: float, radius: float) -> Item:
    pot_height = min(height * 0.35, 2.0 * radius)
    pot = palette.hsv(0.04, 0.6, 0.65) if rng.random() < 0.4 else palette.plastic(rng)
    parts = lathe(pot, [(0, radius * 0.7), (pot_height * 0.85, radius * 0.95), (pot_height, radius)])
    parts.append(rod((58, 42, 32), 0, pot_height, 0, radius * 0.88, 0.004))
    green = palette.leaf(rng)
    style = rng.choice(("blades", "blades", "bush", "tree"))
    room = height - pot_height
    if style == "blades":
        parts += _blades(rng, green, pot_height, room, reach=min(room * 0.5, 0.42), width=radius * 0.5)
        spread = min(room * 0.5, 0.42)
    else:
        spread = max(radius * rng.uniform(1.3, 1.9), room * rng.uniform(0.28, 0.4))
        stem = room * (0.45 if style == "tree" else 0.05)
        if style == "tree":
            parts.append(rod((96, 70, 46), 0, pot_height, 0, radius * 0.12, stem + 0.05))
        parts += _foliage(rng, green, pot_height + stem, room - stem, spread)
    size = 2 * max(spread, radius)
    return Item("potted plant", tuple(parts), size * 0.9, height, size * 0.9)


def _blades(rng: Random, green: Colour, y: float, room: float, reach: float, width: float) -> list[Part]:
    """Long leaves that rise from the pot and droop at the end."""
    parts: list[Part] = []
    count = rng.randint(8, 12)
    for i in range(count):
        angle = math.tau * i / count + rng.uniform(-0.3, 0.3)
        out, rise = reach * rng.uniform(0.4, 1.0), room * rng.uniform(0.6, 1.0)
        colour = palette.shade(green, rng.uniform(0.75, 1.25))
        turn = -angle
        knee = 0.55 * out
        parts.append(box(colour, 0, y, 0, 0.012, rise, width * 0.5, lean=(knee, 0), taper=(1, 2.0), turn=turn))
        droop = rise * rng.uniform(0.1, 0.4)
        tip = box(colour, out, y + rise - droop, 0, 0.01, droop, 0.006, lean=(knee - out, 0), taper=(1, width / 0.006))
        parts += put((tip,), 0, 0, 0, turn, 0)
    return parts


def _foliage(rng: Random, green: Colour, y: float, room: float, spread: float) -> list[Part]:
    """Clumps of leaves around a middle."""
    parts: list[Part] = []
    for _ in range(rng.randint(10, 15)):
        angle, distance = rng.uniform(0, math.tau), spread * 0.6 * math.sqrt(rng.random())
        size = spread * rng.uniform(0.32, 0.52)
        middle = y + size * 0.8 + max(room - 1.6 * size, 0.0) * rng.random()
        x, z = distance * math.cos(angle), distance * math.sin(angle)
        colour = palette.shade(green, rng.uniform(0.7, 1.3))
        parts.append(rod(colour, x, middle - 0.8 * size, z, size * 0.35, 0.8 * size, size))
        parts.append(rod(palette.shade(colour, 1.1), x, middle, z, size, 0.8 * size, size * 0.3))
    return parts


def tv(rng: Random) -> Item:
    """A flat screen on a stand, off or showing a picture."""
    width = rng.uniform(0.6, 1.1)
    height, foot = width * 0.58, rng.uniform(0.05, 0.1)
    black: Colour = (26, 26, 28)
    parts = [
        box(black, 0, 0, 0, width * 0.4, 0.02, 0.18),
        box(black, 0, 0.02, 0.02, 0.08, foot, 0.03),
        *_screen(rng, black, width, height, foot),
    ]
    return Item("tv", tuple(parts), width, height + foot, 0.2)


def wall_tv(rng: Random) -> Item:
    """A flat screen that hangs on a wall; it stands on y = 0 with its back at +z."""
    width = rng.uniform(0.8, 1.3)
    return Item("tv", tuple(_screen(rng, (26, 26, 28), width, width * 0.58, 0.0)), width, width * 0.58, 0.05)


def _screen(rng: Random, frame: Colour, width: float, height: float, y: float) -> list[Part]:
    on = rng.random() < 0.5
    picture = palette.hsv(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.9)) if on else (42, 45, 52)
    glow = 0.9 if on else 0.2
    inner_width, inner_height, rim = width - 0.05, height - 0.05, 0.025
    parts = [
        box(frame, 0, y, 0, width, height, 0.04),
        box(picture, 0, y + rim, -0.023, inner_width, inner_height, 0.004, glow=glow),
    ]
    if on:
        split = rng.uniform(0.3, 0.6)
        ground = palette.hsv(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.8))
        x, wide = rng.uniform(-0.25, 0.25) * inner_width, rng.uniform(0.15, 0.4) * inner_width
        parts.append(box(ground, 0, y + rim, -0.027, inner_width, inner_height * split, 0.004, glow=glow))
        figure = palette.hsv(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.5, 0.95))
        parts.append(box(figure, x, y + rim, -0.031, wide, inner_height * rng.uniform(0.4, 0.8), 0.004, glow=glow))
    else:
        parts.append(
            box(
                (66, 70, 78),
                0.2 * width,
                y + rim,
                -0.027,
                0.1 * width,
                inner_height,
                0.002,
                lean=(0.08 * width, 0),
                glow=glow,
            )
        )
    return parts


def laptop(rng: Random) -> Item:
    """An open laptop: keyboard towards -z, lid leaning back."""
    shell = palette.hsv(0.6, 0.04, rng.choice((0.2, 0.55, 0.75, 0.85)))
    width = rng.uniform(0.33, 0.40)
    depth, lid, lean = width * 0.68, width * 0.62, rng.uniform(0.04, 0.14)
    lit = rng.random() < 0.7
    screen = palette.hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.6, 0.95)) if lit else (34, 36, 42)
    glow = 0.9 if lit else 0.1
    rear = depth / 2
    parts = [
        box(shell, 0, 0, 0, width, 0.02, depth),
        box(palette.shade(shell, 0.45), 0, 0.02, 0.15 * depth, width * 0.9, 0.003, depth * 0.5),
        box(palette.shade(shell, 0.8), 0, 0.02, -0.32 * depth, width * 0.3, 0.002, depth * 0.22),
        box(shell, 0, 0.02, rear, width, lid, 0.012, lean=(0, lean)),
        box(screen, 0, 0.035, rear - 0.009, width * 0.92, lid * 0.88, 0.003, lean=(0, lean * 0.88), glow=glow),
    ]
    return Item("laptop", tuple(parts), width, lid, depth + lean)


def book(rng: Random) -> Item:
    """A book that stands upright, spine towards -z."""
    cover = palette.plastic(rng) if rng.random() < 0.6 else palette.fabric(rng)
    thick, height, depth = rng.uniform(0.03, 0.07), rng.uniform(0.2, 0.29), rng.uniform(0.14, 0.19)
    label = palette.shade(cover, 0.55) if sum(cover) > 380 else (222.0, 214.0, 190.0)
    parts = [
        box(cover, 0, 0, 0, thick, height, depth),
        box(label, 0, height * 0.7, -depth / 2 - 0.001, thick * 0.7, height * 0.14, 0.002),
    ]
    return Item("book", tuple(parts), thick, height, depth)


def lying_book(rng: Random) -> Item:
    """A book that lies flat: cover, pages, cover."""
    cover = palette.plastic(rng) if rng.random() < 0.6 else palette.fabric(rng)
    thick, width, depth = rng.uniform(0.03, 0.06), rng.uniform(0.19, 0.26), rng.uniform(0.24, 0.32)
    parts = [
        box(cover, 0, 0, 0, width, 0.006, depth),
        box((232, 226, 208), 0.004, 0.006, 0, width - 0.012, thick - 0.012, depth - 0.012),
        box(cover, 0, thick - 0.006, 0, width, 0.006, depth),
        box(palette.shade(cover, 0.6), 0, thick, 0.05, width * 0.6, 0.001, depth * 0.2),
    ]
    return Item("book", tuple(parts), width, thick, depth)


def cup(rng: Random) -> Item:
    """A mug with a handle."""
    colour = palette.plastic(rng)
    height, radius = rng.uniform(0.09, 0.13), rng.uniform(0.04, 0.052)
    parts = lathe(colour, [(0, radius * rng.uniform(0.7, 1.0)), (height, radius)])
    parts.append(rod((70, 48, 36), 0, height, 0, radius * 0.82, 0.001))
    side, grip = rng.choice((-1, 1)), radius * 0.55
    x = side * (radius + grip)
    for y in (0.25, 0.7):
        parts.append(box(colour, side * (radius + grip / 2), height * y, 0, grip, height * 0.1, 0.014))
    parts.append(box(colour, x, height * 0.25, 0, 0.014, height * 0.55, 0.014))
    return Item("cup", tuple(parts), 2 * radius + grip, height, 2 * radius)


def bottle(rng: Random) -> Item:
    """A bottle of glass or plastic with a label and a cap."""
    glass = palette.hsv(rng.choice((0.3, 0.36, 0.08, 0.55, 0.0)), rng.uniform(0.2, 0.75), rng.uniform(0.3, 0.75))
    height, radius = rng.uniform(0.24, 0.33), rng.uniform(0.034, 0.045)
    shoulder, neck = height * rng.uniform(0.55, 0.65), radius * 0.36
    label = palette.hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.75, 0.97))
    low, high = shoulder * 0.3, shoulder * 0.8
    parts = [
        rod(glass, 0, 0, 0, radius, low),
        rod(label, 0, low, 0, radius * 1.02, high - low),
        rod(glass, 0, high, 0, radius, shoulder - high),
        rod(glass, 0, shoulder, 0, radius, height * 0.16, neck),
        rod(glass, 0, shoulder + height * 0.16, 0, neck, height * 0.94 - shoulder - height * 0.16),
        rod(palette.plastic(rng), 0, height * 0.94, 0, neck * 1.2, height * 0.06),
    ]
    return Item("bottle", tuple(parts), 2 * radius, height, 2 * radius)


def vase(rng: Random) -> Item:
    """A vase, empty or with flowers."""
    colour = palette.plastic(rng)
    height, belly = rng.uniform(0.2, 0.34), rng.uniform(0.06, 0.09)
    wide, neck = rng.uniform(0.35, 0.6), belly * rng.uniform(0.35, 0.6)
    parts = lathe(
        colour,
        [
            (0, belly * 0.55), (height * wide * 0.5, belly * 0.92), (height * wide, belly),
            (height * (wide + 0.25), neck * 1.15), (height * 0.9, neck), (height, neck * 1.4),
        ],
    )  # fmt: skip
    parts.append(rod(palette.shade(colour, 0.4), 0, height, 0, neck * 1.15, 0.001))
    total = height
    if rng.random() < 0.45:
        total = height * rng.uniform(1.4, 1.7)
        bloom = palette.hsv(rng.random(), 0.7, 0.9)
        for _ in range(rng.randint(3, 6)):
            dx, dz = rng.uniform(-0.09, 0.09), rng.uniform(-0.09, 0.09)
            rise = (total - height) * rng.uniform(0.7, 1.0) - 0.02
            parts.append(box((70, 120, 60), 0, height, 0, 0.008, rise, 0.008, lean=(dx, dz)))
            parts.append(
                rod(palette.shade(bloom, rng.uniform(0.8, 1.2)), dx, height + rise - 0.02, dz, 0.014, 0.04, 0.028)
            )
    return Item("vase", tuple(parts), 2 * belly, total, 2 * belly)


def clock(rng: Random) -> Item:
    """A round or square wall clock; it stands on y = 0 with its back at +z."""
    radius = rng.uniform(0.14, 0.21)
    rim, dial = palette.plastic(rng), palette.hsv(rng.random(), rng.uniform(0, 0.1), rng.uniform(0.88, 0.98))
    hands: Colour = (25, 25, 28)
    if rng.random() < 0.7:
        parts = [
            rod(rim, 0, radius, 0.02, radius, 0.03, facing=True),
            rod(dial, 0, radius, -0.01, radius * 0.86, 0.005, facing=True, glow=0.3),
        ]
    else:
        parts = [
            box(rim, 0, 0, 0, 2 * radius, 2 * radius, 0.03),
            box(dial, 0, radius * 0.13, -0.018, radius * 1.74, radius * 1.74, 0.005, glow=0.3),
        ]
    for mark in range(12):
        angle = mark * math.tau / 12
        x, y = 0.72 * radius * math.sin(angle), radius + 0.72 * radius * math.cos(angle)
        size = radius * (0.14 if mark % 3 == 0 else 0.08)
        parts.append(box(hands, x, y - size / 2, -0.023, size, size, 0.003))
    for length, thick in ((0.45, 0.11), (0.66, 0.07)):
        angle = rng.uniform(-0.48, 0.48) * math.pi
        dx, dy = length * radius * math.sin(angle), length * radius * math.cos(angle)
        parts.append(box(hands, 0, radius, -0.028, radius * thick, dy, 0.003, lean=(dx, 0)))
    return Item("clock", tuple(parts), 2 * radius, 2 * radius, 0.06)
