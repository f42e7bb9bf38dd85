"""What belongs to the walls: windows, curtains, doors, pictures, radiators, boards.

Every item here stands on y = 0 with its back against a wall at z = depth / 2 and looks along -z.
"""

from random import Random

from cascade_exit.data.rooms import palette
from cascade_exit.data.rooms.shapes import Item, Part, Top, box


def window(rng: Random) -> Item:
    """A window with bars, a sill and, at times, curtains."""
    width, height = rng.uniform(0.8, 1.8), rng.uniform(1.0, 1.4)
    frame = palette.hsv(0.1, 0.04, rng.uniform(0.8, 0.97)) if rng.random() < 0.75 else palette.wood(rng)
    sky = palette.hsv(rng.uniform(0.52, 0.62), rng.uniform(0.05, 0.45), rng.uniform(0.75, 1.0))
    if rng.random() < 0.15:
        sky = palette.hsv(0.63, 0.5, rng.uniform(0.1, 0.3))
    parts = [box(frame, 0, 0, 0, width, height, 0.03)]
    columns, rows = rng.choice((1, 2, 2, 3)), rng.choice((1, 1, 2))
    wide, high = (width - 0.06) / columns, (height - 0.06) / rows
    horizon = rng.uniform(0.1, 0.6) * high if rng.random() < 0.5 else 0.0
    garden = palette.shade(palette.leaf(rng), 1.3)
    for column in range(columns):
        for row in range(rows):
            x, y = (column + 0.5) * wide - (width - 0.06) / 2, 0.03 + row * high + 0.025
            parts.append(box(sky, x, y, -0.018, wide - 0.05, high - 0.05, 0.004, glow=1.0))
            if horizon > 0.1 and row == 0:
                parts.append(box(garden, x, y, -0.023, wide - 0.05, horizon, 0.004, glow=0.9))
    parts.append(box(frame, 0, -0.03, -0.06, width + 0.1, 0.03, 0.14))
    if rng.random() < 0.45:
        parts += _curtains(rng, width, height)
    return Item("window", tuple(parts), width + 0.5, height + 0.15, 0.06)


def _curtains(rng: Random, width: float, height: float) -> list[Part]:
    cloth = palette.fabric(rng)
    share, drop = rng.uniform(0.12, 0.25), rng.uniform(0.1, 0.5)
    parts = [box(palette.metal(rng), 0, height + 0.08, -0.08, width + 0.4, 0.025, 0.025)]
    folds = 4
    for side in (-1, 1):
        for fold in range(folds):
            x = side * (width / 2 + 0.1 - share * width * (fold + 0.5) / folds)
            tone = palette.shade(cloth, 1.0 if fold % 2 else 0.84)
            parts.append(box(tone, x, -drop, -0.08, share * width / folds, height + drop + 0.08, 0.03))
    return parts


def door(rng: Random) -> Item:
    """A closed door with panels and a handle."""
    colour = palette.wood(rng)
    width, height = rng.uniform(0.8, 0.95), rng.uniform(1.95, 2.1)
    parts = [
        box(palette.shade(colour, 0.85), 0, 0, 0, width + 0.14, height + 0.07, 0.03),
        box(colour, 0, 0, -0.02, width, height, 0.02),
    ]
    for low, high in ((0.08, 0.42), (0.5, 0.93)):
        parts.append(
            box(palette.shade(colour, 0.9), 0, low * height, -0.032, width * 0.7, (high - low) * height, 0.008)
        )
    side = rng.choice((-1, 1))
    parts.append(box(palette.metal(rng), side * width * 0.4, height * 0.48, -0.06, 0.1, 0.025, 0.04))
    return Item("door", tuple(parts), width + 0.14, height + 0.07, 0.06)


def picture(rng: Random) -> Item:
    """A framed picture or a poster of a few shapes."""
    width, height = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.8)
    frame = palette.wood(rng) if rng.random() < 0.6 else palette.plastic(rng)
    rim = rng.uniform(0.02, 0.05)
    inner_width, inner_height = width - 2 * rim, height - 2 * rim
    paper = palette.hsv(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.6, 0.97))
    parts = [
        box(frame, 0, 0, 0, width, height, 0.02),
        box(paper, 0, rim, -0.012, inner_width, inner_height, 0.004),
    ]
    depth = -0.016
    for _ in range(rng.randint(1, 4)):
        wide, high = rng.uniform(0.15, 0.6) * inner_width, rng.uniform(0.15, 0.6) * inner_height
        x = rng.uniform(-0.5, 0.5) * (inner_width - wide)
        y = rim + rng.random() * (inner_height - high)
        taper = (rng.choice((1.0, 1.0, 0.1)), 1.0)
        parts.append(box(palette.plastic(rng), x, y, depth, wide, high, 0.002, taper=taper))
        depth -= 0.003
    return Item("picture", tuple(parts), width, height, 0.04)


def radiator(rng: Random) -> Item:
    """A ribbed radiator, low on the wall."""
    white = palette.hsv(0.1, 0.03, rng.uniform(0.8, 0.95))
    width, height = rng.uniform(0.6, 1.1), rng.uniform(0.45, 0.6)
    ribs = round(width / 0.09)
    parts = [box(palette.shade(white, 0.85), 0, 0, 0.02, width, height, 0.03)]
    parts += [
        box(white, (i + 0.5) * width / ribs - width / 2, 0, -0.03, width / ribs * 0.7, height, 0.06)
        for i in range(ribs)
    ]
    return Item("radiator", tuple(parts), width, height, 0.1)


def wall_board(rng: Random) -> Item:
    """A board on the wall that carries books and small things."""
    colour, width = palette.wood(rng), rng.uniform(0.6, 1.2)
    parts = [box(colour, 0, 0, 0, width, 0.03, 0.22)]
    parts += [box(palette.shade(colour, 0.8), side * width * 0.35, -0.12, 0.09, 0.03, 0.12, 0.03) for side in (-1, 1)]
    return Item("board", tuple(parts), width, 0.03, 0.22, (Top(0.0, 0.03, 0.0, width / 2 - 0.03, 0.09, 0.6),))
