"""Chairs of six styles: wooden, office, shell, armchair, bar and folding."""

import math
from random import Random

from cascade_exit.data.rooms import palette
from cascade_exit.data.rooms.furniture import four_legs
from cascade_exit.data.rooms.shapes import Colour, Item, Part, box, rod


def chair(rng: Random) -> Item:
    """Draw a chair of a random style; the measures follow those of real chairs."""
    kind = rng.random()
    if kind < 0.42:
        return wooden_chair(rng)
    if kind < 0.58:
        return office_chair(rng)
    if kind < 0.75:
        return shell_chair(rng)
    if kind < 0.86:
        return armchair(rng)
    if kind < 0.93:
        return bar_chair(rng)
    return folding_chair(rng)


def wooden_chair(rng: Random) -> Item:
    """A four-legged chair with a solid, slatted, spindled or ladder back."""
    frame = palette.wood(rng)
    width, depth = rng.uniform(0.40, 0.50), rng.uniform(0.40, 0.48)
    seat, total = rng.uniform(0.43, 0.48), rng.uniform(0.80, 1.05)
    post, slab = rng.uniform(0.030, 0.050), rng.uniform(0.03, 0.05)
    lean = rng.uniform(0.02, 0.12)
    parts = four_legs(frame, width - post, depth - post, seat - slab, post, splay=rng.choice((0.0, 0.0, 0.03)))
    parts.append(box(frame, 0, seat - slab, 0, width, slab, depth))
    if rng.random() < 0.35:
        parts.append(box(palette.fabric(rng), 0, seat, -0.01, width * 0.9, 0.04, depth * 0.85))
    if rng.random() < 0.35:
        for side in (-1, 1):
            height = seat * rng.uniform(0.3, 0.5)
            parts.append(box(frame, side * (width - post) / 2, height, 0, post * 0.7, post * 0.7, depth - 2 * post))
    rear = depth / 2 - post / 2
    parts += _posts(frame, width - post, seat, rear, total - seat, post, lean)
    parts += _back_filling(rng, frame, width - 2 * post, seat, rear, total - seat, lean)
    if rng.random() < 0.2:
        parts += _armrests(frame, width, depth, seat, post, rng.uniform(0.18, 0.24))
    return Item("chair", tuple(parts), width, total, depth + lean)


def office_chair(rng: Random) -> Item:
    """A swivel chair: five-legged star, gas lift, padded seat and back, often with armrests."""
    pad = palette.hsv(0.6, 0.1, rng.uniform(0.12, 0.25)) if rng.random() < 0.5 else palette.fabric(rng)
    steel = palette.metal(rng)
    reach, seat = rng.uniform(0.27, 0.32), rng.uniform(0.44, 0.54)
    width, depth = rng.uniform(0.45, 0.52), rng.uniform(0.43, 0.50)
    back, back_width = rng.uniform(0.40, 0.68), width * rng.uniform(0.8, 1.0)
    parts: list[Part] = []
    first = rng.uniform(0, math.tau)
    for spoke in range(5):
        angle = first + spoke * math.tau / 5
        x, z = reach / 2 * math.cos(angle), reach / 2 * math.sin(angle)
        parts.append(box(steel, x, 0.06, z, reach, 0.035, 0.045, turn=-angle))
        parts.append(rod((35, 35, 38), 1.9 * x, 0, 1.9 * z, 0.03, 0.06))
    parts.append(rod(palette.shade(steel, 0.8), 0, 0.09, 0, 0.03, seat - 0.17))
    parts.append(box(pad, 0, seat - 0.08, 0, width, 0.08, depth, taper=(0.94, 0.94)))
    rear = depth / 2 - 0.02
    parts.append(box((45, 45, 48), 0, seat - 0.05, rear + 0.03, 0.07, 0.2, 0.03))
    parts.append(
        box(pad, 0, seat + 0.10, rear, back_width, back, 0.07, lean=(0, rng.uniform(0.03, 0.12)), taper=(0.85, 0.7))
    )
    if rng.random() < 0.6:
        for side in (-1, 1):
            parts.append(box((45, 45, 48), side * (width / 2 + 0.02), seat - 0.05, 0.04, 0.03, 0.23, 0.05))
            parts.append(box((40, 40, 42), side * (width / 2 + 0.02), seat + 0.18, 0, 0.07, 0.03, 0.26))
    size = 2 * reach
    return Item("chair", tuple(parts), size, seat + 0.10 + back, size)


def shell_chair(rng: Random) -> Item:
    """A moulded plastic shell on four splayed legs or on one pedestal."""
    shell, steel = palette.plastic(rng), palette.metal(rng) if rng.random() < 0.5 else palette.wood(rng)
    width, depth = rng.uniform(0.42, 0.52), rng.uniform(0.40, 0.46)
    seat, back = rng.uniform(0.42, 0.47), rng.uniform(0.32, 0.42)
    if rng.random() < 0.75:
        parts = four_legs(steel, width * 0.75, depth * 0.8, seat - 0.03, rng.uniform(0.022, 0.034), splay=0.06)
    else:
        parts = [
            rod(shell, 0, 0, 0, 0.24, 0.03, 0.10),
            rod(shell, 0, 0.03, 0, 0.06, seat - 0.06, 0.07),
        ]
    rear = depth / 2 - 0.02
    parts.append(box(shell, 0, seat - 0.03, 0, width * 0.85, 0.04, depth * 0.9, taper=(1.18, 1.1)))
    half = back * 0.45
    parts.append(box(shell, 0, seat + 0.01, rear, width, half, 0.03, lean=(0, 0.05), taper=(0.97, 1.0)))
    parts.append(
        box(
            shell, 0, seat + 0.01 + half, rear + 0.05, width * 0.97, back - half, 0.03,
            lean=(0, 0.04), taper=(rng.uniform(0.55, 0.85), 0.8),
        )
    )  # fmt: skip
    if rng.random() < 0.3:
        for side in (-1, 1):
            parts.append(
                box(shell, side * width / 2, seat + 0.01, 0.03, 0.03, 0.16, depth * 0.7, lean=(side * 0.04, 0.02))
            )
    return Item("chair", tuple(parts), width, seat + back, depth + 0.09)


def armchair(rng: Random) -> Item:
    """An upholstered easy chair, a little wider than high."""
    cover, legs = palette.fabric(rng), palette.wood(rng)
    width, depth = rng.uniform(0.66, 0.85), rng.uniform(0.66, 0.82)
    total, arm = rng.uniform(0.78, 0.98), rng.uniform(0.52, 0.62)
    foot, thick = rng.uniform(0.06, 0.18), rng.uniform(0.09, 0.14)
    seat = rng.uniform(0.36, 0.42)
    parts = four_legs(legs, width - 0.1, depth - 0.1, foot, 0.045)
    inner = width - 2 * thick
    parts.append(box(cover, 0, foot, 0, inner, seat - 0.12 - foot, depth))
    parts.append(box(palette.shade(cover, 1.08), 0, seat - 0.12, -0.07, inner, 0.12, depth - 0.16, taper=(0.97, 0.97)))
    parts.append(
        box(
            palette.shade(cover, 0.96),
            0,
            seat - 0.12,
            depth / 2 - 0.08,
            inner,
            total - seat + 0.12,
            0.15,
            lean=(0, 0.06),
        )
    )
    for side in (-1, 1):
        parts.append(box(palette.shade(cover, 0.92), side * (width - thick) / 2, foot, 0, thick, arm - foot, depth))
    return Item("chair", tuple(parts), width, total, depth + 0.06)


def bar_chair(rng: Random) -> Item:
    """A high chair with a low back and foot rails."""
    frame = palette.wood(rng) if rng.random() < 0.5 else palette.metal(rng)
    pad = palette.fabric(rng)
    width, seat, back = rng.uniform(0.36, 0.42), rng.uniform(0.60, 0.72), rng.uniform(0.24, 0.34)
    post = rng.uniform(0.028, 0.038)
    parts = four_legs(frame, width - post, width - post, seat - 0.05, post, splay=0.03)
    for side in (-1, 1):
        parts.append(box(frame, 0, 0.25, side * (width - post) / 2, width - post, 0.025, 0.025))
        parts.append(box(frame, side * (width - post) / 2, 0.2, 0, 0.025, 0.025, width - post))
    parts.append(box(pad, 0, seat - 0.05, 0, width, 0.06, width))
    rear = width / 2 - post / 2
    parts += _posts(frame, width - post, seat, rear, back, post, 0.04)
    parts.append(box(pad, 0, seat + back * 0.45, rear + 0.015, width - 0.02, back * 0.5, 0.035, lean=(0, 0.02)))
    return Item("chair", tuple(parts), width, seat + back, width + 0.04)


def folding_chair(rng: Random) -> Item:
    """A light chair with crossing legs."""
    frame = palette.metal(rng) if rng.random() < 0.6 else palette.wood(rng)
    panel = palette.plastic(rng) if rng.random() < 0.6 else palette.wood(rng)
    width, seat, total = rng.uniform(0.42, 0.47), rng.uniform(0.43, 0.46), rng.uniform(0.76, 0.84)
    parts: list[Part] = []
    for side in (-1, 1):
        x = side * width / 2
        parts.append(box(frame, x, 0, -0.22, 0.024, total, 0.03, lean=(0, 0.44)))
        parts.append(box(frame, x - side * 0.03, 0, 0.22, 0.024, seat, 0.03, lean=(0, -0.36)))
    parts.append(box(panel, 0, seat - 0.02, -0.02, width - 0.05, 0.03, 0.38))
    parts.append(box(panel, 0, total - 0.24, 0.10, width - 0.03, 0.2, 0.025, lean=(0, 0.09)))
    return Item("chair", tuple(parts), width, total, 0.48)


def _posts(colour: Colour, width: float, y: float, z: float, height: float, thick: float, lean: float) -> list[Part]:
    return [box(colour, side * width / 2, y, z, thick, height, thick, lean=(0, lean)) for side in (-1, 1)]


def _back_filling(
    rng: Random, colour: Colour, width: float, seat: float, z: float, height: float, lean: float
) -> list[Part]:
    def bar(low: float, high: float, thick: float = 0.025) -> Part:
        return box(
            colour, 0, seat + low * height, z + low * lean, width, (high - low) * height, thick,
            lean=(0, (high - low) * lean),
        )  # fmt: skip

    style = rng.choice(("solid", "slats", "spindles", "ladder"))
    if style == "solid":
        return [bar(rng.uniform(0.15, 0.4), 1.0)]
    if style == "ladder":
        count = rng.randint(2, 4)
        return [bar(0.3 + 0.7 * i / count, 0.3 + 0.7 * (i + 0.55) / count) for i in range(count)]
    if style == "slats":
        return [bar(0.78, 1.0), bar(0.25, 0.4)]
    count = rng.randint(3, 5)
    spindles = [
        box(colour, width * ((i + 0.5) / count - 0.5), seat, z, 0.02, 0.8 * height, 0.02, lean=(0, 0.8 * lean))
        for i in range(count)
    ]
    return [*spindles, bar(0.8, 1.0, 0.03)]


def _armrests(colour: Colour, width: float, depth: float, seat: float, post: float, height: float) -> list[Part]:
    parts: list[Part] = []
    for side in (-1, 1):
        x = side * (width / 2 + post / 2)
        parts.append(box(colour, x, seat - 0.03, -depth / 2 + 0.08, post * 0.8, height + 0.03, post * 0.8))
        parts.append(box(colour, x, seat + height, 0.0, post, 0.025, depth))
    return parts
