"""Colours of things, as RGB from 0 to 255."""

import colorsys
from random import Random

from cascade_exit.data.rooms.shapes import Colour

_WOODS: tuple[Colour, ...] = (
    (188, 146, 98), (152, 106, 64), (112, 72, 44), (84, 54, 38), (214, 182, 138), (170, 110, 70), (60, 44, 38),
)  # fmt: skip


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Give RGB in 0..255 for a hue in turns and a saturation and value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return (255 * red, 255 * green, 255 * blue)


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (below 1) or lighten (above 1) a colour."""
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; ``share`` is that of the second."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def wood(rng: Random) -> Colour:
    """Give bare, stained or painted wood."""
    if rng.random() < 0.2:
        return hsv(rng.random(), rng.uniform(0.0, 0.3), rng.uniform(0.75, 0.97))
    return bare_wood(rng)


def bare_wood(rng: Random) -> Colour:
    """Give bare or stained wood."""
    return shade(rng.choice(_WOODS), rng.uniform(0.85, 1.15))


def metal(rng: Random) -> Colour:
    """Give black, grey or bright metal."""
    return hsv(0.6, 0.05, rng.choice((0.14, 0.3, 0.55, 0.75, 0.85)))


def fabric(rng: Random) -> Colour:
    """Give upholstery: mostly muted, now and then strong."""
    kind = rng.random()
    if kind < 0.3:
        return hsv(rng.uniform(0.05, 0.12), rng.uniform(0.05, 0.3), rng.uniform(0.45, 0.9))
    if kind < 0.5:
        return hsv(rng.uniform(0.55, 0.7), rng.uniform(0.0, 0.2), rng.uniform(0.15, 0.5))
    return hsv(rng.random(), rng.uniform(0.3, 0.75), rng.uniform(0.3, 0.8))


def plastic(rng: Random) -> Colour:
    """Give plastic: white, black or a clear colour."""
    kind = rng.random()
    if kind < 0.3:
        return hsv(0.1, 0.03, rng.uniform(0.85, 0.97))
    if kind < 0.45:
        return hsv(0.6, 0.1, rng.uniform(0.1, 0.25))
    return hsv(rng.random(), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9))


def leaf(rng: Random) -> Colour:
    """Give the green of a plant."""
    return hsv(rng.uniform(0.22, 0.38), rng.uniform(0.35, 0.75), rng.uniform(0.28, 0.62))


def wall_paint(rng: Random) -> Colour:
    """Give a wall colour: light and pale mostly, sometimes a stronger tone."""
    if rng.random() < 0.75:
        return hsv(rng.random(), rng.uniform(0.0, 0.16), rng.uniform(0.72, 0.96))
    return hsv(rng.random(), rng.uniform(0.15, 0.45), rng.uniform(0.4, 0.75))


def floor_stone(rng: Random) -> Colour:
    """Give the colour of tiles or stone."""
    return hsv(rng.uniform(0.02, 0.15), rng.uniform(0.0, 0.3), rng.uniform(0.35, 0.88))
