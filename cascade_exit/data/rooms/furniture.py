"""Couches, beds and tables, and the furniture without a class: stools, benches, cabinets, shelves, lamps."""

import math
from random import Random

from cascade_exit.data.rooms import palette
from cascade_exit.data.rooms.shapes import Colour, Item, Part, Top, box, lathe, rod


def couch(rng: Random) -> Item:
    """A sofa for two or three, with seat and back cushions."""
    cover, seats = palette.fabric(rng), rng.choice((2, 2, 3))
    thick, depth = rng.uniform(0.12, 0.22), rng.uniform(0.80, 0.95)
    inner = seats * rng.uniform(0.55, 0.68)
    width, total = inner + 2 * thick, rng.uniform(0.72, 0.90)
    foot, seat, arm = rng.uniform(0.04, 0.14), rng.uniform(0.38, 0.44), rng.uniform(0.52, 0.64)
    parts = four_legs(palette.wood(rng), width - 0.12, depth - 0.12, foot, 0.05)
    parts.append(box(palette.shade(cover, 0.9), 0, foot, 0, inner, seat - 0.13 - foot, depth))
    parts.append(box(palette.shade(cover, 0.94), 0, seat - 0.13, depth / 2 - 0.09, inner, total - seat + 0.13, 0.18))
    for side in (-1, 1):
        parts.append(box(palette.shade(cover, 0.92), side * (width - thick) / 2, foot, 0, thick, arm - foot, depth))
    cushion = inner / seats
    for i in range(seats):
        x = (i + 0.5) * cushion - inner / 2
        parts.append(
            box(
                palette.shade(cover, 1.08),
                x,
                seat - 0.13,
                -0.09,
                cushion - 0.015,
                0.13,
                depth - 0.18,
                taper=(0.97, 0.97),
            )
        )
        parts.append(
            box(
                cover, x, seat, depth / 2 - 0.26, cushion - 0.03, total - seat - 0.05, 0.14,
                lean=(0, 0.06), taper=(0.92, 0.6),
            )
        )  # fmt: skip
    if rng.random() < 0.5:
        x, side = inner / 2 - 0.22, rng.choice((-1, 1))
        parts.append(box(palette.fabric(rng), side * x, seat, depth / 2 - 0.40, 0.36, 0.34, 0.1, lean=(0, 0.1)))
    return Item("couch", tuple(parts), width, total, depth)


def bed(rng: Random) -> Item:
    """A bed, headboard towards +z, with pillows and a blanket."""
    frame, sheet = palette.wood(rng), palette.hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.8, 0.97))
    width, length = rng.choice((0.95, 1.45, 1.65)), rng.uniform(1.95, 2.1)
    base, mattress, head = rng.uniform(0.24, 0.34), rng.uniform(0.16, 0.24), rng.uniform(0.75, 1.1)
    foot = rng.uniform(0.05, 0.16)
    top = base + mattress
    parts = four_legs(frame, width - 0.1, length - 0.1, foot, 0.07)
    parts.append(box(frame, 0, foot, 0, width, base - foot, length - 0.06))
    parts.append(box(frame, 0, 0, length / 2 - 0.02, width + 0.04, head, 0.05))
    parts.append(box(sheet, 0, base, -0.02, width - 0.04, mattress, length - 0.08, taper=(0.98, 0.99)))
    cover = palette.fabric(rng)
    reach = rng.uniform(0.55, 0.72) * length
    parts.append(box(cover, 0, top, -length / 2 + reach / 2 + 0.02, width - 0.01, 0.04, reach))
    parts.append(box(palette.shade(cover, 1.15), 0, top + 0.04, -length / 2 + reach - 0.12, width - 0.01, 0.02, 0.26))
    for side in (-1, 1):
        parts.append(
            box(cover, side * (width / 2 - 0.01), base + 0.02, -length / 2 + reach / 2 + 0.02, 0.025, mattress, reach)
        )
    pillows = 1 if width < 1.2 else 2
    linen = palette.shade(sheet, 1.05)
    for i in range(pillows):
        x = (i - (pillows - 1) / 2) * 0.72
        parts.append(box(linen, x, top, length / 2 - 0.28, 0.58, 0.12, 0.36, lean=(0, 0.04), taper=(0.8, 0.75)))
    return Item("bed", tuple(parts), width + 0.04, head, length)


def dining_table(rng: Random) -> Item:
    """A table high enough to sit at: four-legged, trestle or round on one foot."""
    colour = palette.wood(rng)
    height, slab = rng.uniform(0.71, 0.77), rng.uniform(0.025, 0.05)
    if rng.random() < 0.3:
        radius = rng.uniform(0.42, 0.62)
        base = palette.metal(rng) if rng.random() < 0.4 else colour
        parts = [
            rod(base, 0, 0, 0, radius * 0.55, 0.04, radius * 0.45),
            rod(base, 0, 0.04, 0, 0.05, height - slab - 0.04),
            rod(colour, 0, height - slab, 0, radius, slab),
        ]
        top = Top(0.0, height, 0.0, radius * 0.65, radius * 0.65, 2.0)
        return Item("dining table", tuple(parts), 2 * radius, height, 2 * radius, (top,))
    width, depth = rng.uniform(0.9, 1.7), rng.uniform(0.65, 0.9)
    leg = rng.uniform(0.04, 0.08)
    legs = palette.metal(rng) if rng.random() < 0.25 else palette.shade(colour, rng.uniform(0.75, 1.0))
    inset = rng.choice((0.03, 0.12))
    parts = four_legs(legs, width - inset - leg, depth - inset - leg, height - slab, leg)
    if rng.random() < 0.6:
        apron_width = width - inset - 2 * leg
        for side in (-1, 1):
            z = side * (depth - inset - leg) / 2
            parts.append(box(legs, 0, height - slab - 0.08, z, apron_width, 0.08, 0.02))
    parts.append(box(colour, 0, height - slab, 0, width, slab, depth))
    top = Top(0.0, height, 0.0, width / 2 - 0.05, depth / 2 - 0.05, 2.0)
    return Item("dining table", tuple(parts), width, height, depth, (top,))


def low_table(rng: Random) -> Item:
    """A coffee or side table, too low to sit at."""
    colour = palette.wood(rng)
    height, width, depth = rng.uniform(0.34, 0.55), rng.uniform(0.4, 1.0), rng.uniform(0.4, 0.6)
    parts = four_legs(palette.shade(colour, 0.85), width - 0.06, depth - 0.06, height - 0.03, 0.04)
    parts.append(box(colour, 0, height - 0.03, 0, width, 0.03, depth))
    if rng.random() < 0.4:
        parts.append(box(colour, 0, 0.12, 0, width - 0.1, 0.02, depth - 0.1))
    top = Top(0.0, height, 0.0, width / 2 - 0.04, depth / 2 - 0.04, 1.5)
    return Item("low table", tuple(parts), width, height, depth, (top,))


def stool(rng: Random) -> Item:
    """A seat without a back, low or bar height: made like a chair, and not one."""
    colour = palette.wood(rng) if rng.random() < 0.6 else palette.metal(rng)
    seat_colour = colour if rng.random() < 0.5 else palette.fabric(rng)
    height, width = rng.choice((rng.uniform(0.40, 0.5), rng.uniform(0.6, 0.75))), rng.uniform(0.32, 0.42)
    leg, splay, is_round = rng.uniform(0.028, 0.045), rng.uniform(0, 0.06), rng.random() < 0.5
    stance = width * 0.62 if is_round else width - leg
    parts = four_legs(colour, stance, stance, height - 0.04, leg, splay)
    if rng.random() < 0.5:
        low = 0.4
        rail = stance + 2 * splay * (1 - low)
        for side in (-1, 1):
            parts.append(box(colour, 0, height * low, side * rail / 2, rail, 0.025, 0.025))
    if is_round:
        parts.append(rod(seat_colour, 0, height - 0.04, 0, width / 2, 0.04))
    else:
        parts.append(box(seat_colour, 0, height - 0.04, 0, width, 0.04, width))
    size = max(width, stance + 2 * splay + leg)
    return Item("stool", tuple(parts), size, height, size)


def bench(rng: Random) -> Item:
    """A long seat without a back."""
    colour = palette.wood(rng)
    width, height, depth = rng.uniform(0.9, 1.4), rng.uniform(0.42, 0.47), rng.uniform(0.3, 0.38)
    parts = four_legs(colour, width - 0.12, depth - 0.08, height - 0.04, 0.05)
    parts.append(box(colour, 0, height - 0.04, 0, width, 0.04, depth))
    return Item("bench", tuple(parts), width, height, depth)


def cabinet(rng: Random) -> Item:
    """A chest, sideboard or wardrobe with doors or drawers."""
    colour = palette.wood(rng)
    width, depth = rng.uniform(0.45, 1.5), rng.uniform(0.38, 0.5)
    height = rng.uniform(1.6, 2.0) if rng.random() < 0.2 else rng.uniform(0.5, 0.95)
    foot = rng.choice((0.0, 0.0, 0.1))
    parts = four_legs(colour, width - 0.08, depth - 0.08, foot, 0.04) if foot else []
    parts.append(box(colour, 0, foot, 0, width, height - foot, depth))
    columns, rows = max(1, round(width / 0.5)), (1 if height > 1.2 else rng.randint(1, 4))
    front, knob = palette.shade(colour, rng.choice((0.88, 1.1))), palette.metal(rng)
    cell_width, cell_height = width / columns, (height - foot) / rows
    for column in range(columns):
        for row in range(rows):
            x, y = (column + 0.5) * cell_width - width / 2, foot + row * cell_height
            parts.append(box(front, x, y + 0.015, -depth / 2 - 0.006, cell_width - 0.03, cell_height - 0.03, 0.012))
            parts.append(box(knob, x, y + cell_height * 0.55, -depth / 2 - 0.02, 0.06, 0.02, 0.016))
    tops = (Top(0.0, height, 0.0, width / 2 - 0.03, depth / 2 - 0.04, 1.0),) if height < 1.2 else ()
    return Item("cabinet", tuple(parts), width, height, depth + 0.06, tops)


def shelf(rng: Random) -> Item:
    """An open shelf unit, low or high."""
    colour, depth = palette.wood(rng), rng.uniform(0.26, 0.34)
    width, levels = rng.uniform(0.6, 1.1), rng.randint(2, 5)
    gap = rng.uniform(0.32, 0.38)
    height = levels * gap + 0.05
    parts = [box(colour, side * (width / 2 - 0.012), 0, 0, 0.024, height, depth) for side in (-1, 1)]
    if rng.random() < 0.7:
        parts.append(box(palette.shade(colour, 0.7), 0, 0.02, depth / 2, width - 0.05, height - 0.04, 0.012))
    tops = []
    for level in range(levels + 1):
        y = 0.03 + level * gap
        parts.append(box(colour, 0, y - 0.012, 0, width - 0.05, 0.024, depth))
        tops.append(Top(0.0, y + 0.012, 0.0, width / 2 - 0.06, depth / 2 - 0.03, gap - 0.05))
    return Item("shelf", tuple(parts), width, height, depth, tuple(tops))


def clothes_rack(rng: Random) -> Item:
    """A drying rack: an upright grid of bars on two feet, much like the back of a chair."""
    colour = palette.wood(rng) if rng.random() < 0.5 else palette.metal(rng)
    width, height = rng.uniform(0.5, 0.8), rng.uniform(0.7, 1.1)
    parts = [box(colour, side * width / 2, 0, 0, 0.03, height, 0.03) for side in (-1, 1)]
    parts += [box(colour, side * width / 2, 0, 0, 0.03, 0.03, 0.4) for side in (-1, 1)]
    bars = rng.randint(3, 5)
    parts += [
        box(colour, 0, height * (0.25 + 0.72 * i / (bars - 1)), 0, width - 0.03, 0.022, 0.022) for i in range(bars)
    ]
    if rng.random() < 0.6:
        cloth = palette.fabric(rng)
        parts.append(box(cloth, 0, height * 0.5, -0.02, width * 0.6, height * 0.48, 0.02))
    return Item("clothes rack", tuple(parts), width + 0.05, height, 0.42)


def floor_lamp(rng: Random) -> Item:
    """A standing lamp with a lit or unlit shade."""
    steel, lit = palette.metal(rng), rng.choice((0.15, 0.6))
    height, radius = rng.uniform(1.3, 1.75), rng.uniform(0.16, 0.24)
    cover = palette.hsv(rng.uniform(0.06, 0.16), rng.uniform(0.1, 0.4), rng.uniform(0.75, 0.98))
    parts = [
        rod(steel, 0, 0, 0, 0.15, 0.025),
        rod(steel, 0, 0.025, 0, 0.014, height - 0.28),
        rod(cover, 0, height - 0.28, 0, radius, 0.28, radius * rng.uniform(0.5, 1.0), glow=lit),
    ]
    return Item("lamp", tuple(parts), 2 * radius, height, 2 * radius)


def table_lamp(rng: Random) -> Item:
    """A small lamp for tables and sideboards."""
    foot = palette.plastic(rng)
    cover = palette.hsv(rng.uniform(0.06, 0.16), rng.uniform(0.1, 0.4), rng.uniform(0.75, 0.98))
    height, radius = rng.uniform(0.32, 0.48), rng.uniform(0.10, 0.15)
    parts = [
        rod(foot, 0, 0, 0, 0.07, 0.02),
        rod(foot, 0, 0.02, 0, 0.02, height * 0.55, 0.012),
        rod(cover, 0, height * 0.5, 0, radius, height * 0.5, radius * 0.6, glow=rng.choice((0.15, 0.6))),
    ]
    return Item("lamp", tuple(parts), 2 * radius, height, 2 * radius)


def crate(rng: Random) -> Item:
    """A cardboard box, a storage box or a stack of two."""
    parts: list[Part] = []
    width, depth, y = rng.uniform(0.3, 0.55), rng.uniform(0.3, 0.5), 0.0
    for level in range(rng.choice((1, 1, 2))):
        height = rng.uniform(0.2, 0.4)
        colour = palette.hsv(0.08, rng.uniform(0.35, 0.5), rng.uniform(0.55, 0.78))
        if rng.random() < 0.3:
            colour = palette.plastic(rng)
        shrink = 1 - 0.15 * level
        parts.append(box(colour, 0, y, 0, width * shrink, height, depth * shrink))
        parts.append(box(palette.shade(colour, 1.15), 0, y + height, 0, 0.05, 0.003, depth * shrink))
        y += height + 0.003
    return Item("box", tuple(parts), width, y, depth)


def basket(rng: Random) -> Item:
    """A laundry or waste basket."""
    colour = palette.wood(rng) if rng.random() < 0.6 else palette.plastic(rng)
    height, radius = rng.uniform(0.25, 0.5), rng.uniform(0.13, 0.2)
    parts = lathe(colour, [(0, radius * 0.8), (height - 0.04, radius), (height, radius * 1.04)])
    parts.append(rod(palette.shade(colour, 0.45), 0, height, 0, radius * 0.92, 0.002))
    return Item("basket", tuple(parts), 2 * radius, height, 2 * radius)


def four_legs(
    colour: Colour, width: float, depth: float, height: float, thick: float, splay: float = 0.0
) -> list[Part]:
    """Four legs whose tops stand at the corners of width x depth; ``splay`` moves the feet outwards."""
    return [
        box(
            colour, sx * (width / 2 + splay), 0, sz * (depth / 2 + splay), thick, height, thick,
            lean=(-sx * splay, -sz * splay),
        )
        for sx in (-1, 1)
        for sz in (-1, 1)
    ]  # fmt: skip


def ottoman(rng: Random) -> Item:
    """An upholstered cube or drum to put the feet on."""
    cover, height = palette.fabric(rng), rng.uniform(0.34, 0.44)
    width = rng.uniform(0.4, 0.6)
    if rng.random() < 0.5:
        parts = lathe(cover, [(0.03, width / 2), (height - 0.04, width / 2 * 1.03), (height, width / 2 * 0.92)])
        return Item("ottoman", tuple(parts), width, height, width)
    turn = rng.uniform(0, math.pi)
    parts = [
        box(palette.shade(cover, 0.9), 0, 0.02, 0, width, height - 0.12, width, turn=turn),
        box(cover, 0, height - 0.1, 0, width * 1.02, 0.1, width * 1.02, taper=(0.94, 0.94), turn=turn),
    ]
    return Item("ottoman", tuple(parts), width * 1.3, height, width * 1.3)
