"""Patterns of floors and walls: functions of the place on the surface, in metres.

Each gives for every point the share of the second colour, and a tone: by how much it is lighter or darker.
"""

from collections.abc import Callable

import numpy as np

from cascade_exit.data.rooms.scene import Surface

Pattern = Callable[[Surface, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def pattern_at(surface: Surface, u: np.ndarray, v: np.ndarray, detail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate a surface's pattern, faded out where the picture is too coarse to show it.

    Args:
        surface: Pattern, scale and contrast.
        u: ``[point]`` float32 coordinates along the surface in metres.
        v: Coordinates across it, likewise; the height on walls.
        detail: ``[point]`` float32 pixels per metre.

    Returns:
        Share of the second colour (0 to 1) and tone (around 0), both ``[point]`` float32.
    """
    share, tone = PATTERNS[surface.pattern](surface, u, v)
    fade = np.clip(detail * np.float32(surface.cell / 2) - np.float32(0.6), 0, 1) * np.float32(surface.contrast)
    return share * fade, tone * fade


def _hash(a: np.ndarray, b: np.ndarray, salt: int) -> np.ndarray:
    """A number in 0..1 for each pair of whole numbers."""
    mixed = (a.astype(np.int32) * np.int32(73856093)) ^ (b.astype(np.int32) * np.int32(19349663))
    mixed = (mixed ^ np.int32(salt * 7919)) * np.int32(1274126177)
    return ((mixed >> 16) & 1023).astype(np.float32) * np.float32(1 / 1023)


def _plain(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grain = _hash(np.floor(u * 60), np.floor(v * 60), surface.salt)
    return np.zeros_like(u), (grain - 0.5) * np.float32(0.10)


def _planks(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Floor boards along v, each with its own tone, grain and dark joints."""
    row = np.floor(u / np.float32(surface.cell))
    shifted = v / np.float32(surface.cell * 8) + _hash(row, row, surface.salt) * 5
    board = np.floor(shifted)
    tone = (_hash(row, board, surface.salt + 1) - 0.5) * np.float32(0.34)
    grain = np.sin(u * np.float32(90.0) + np.sin(v * 5 + row) * 3) * np.float32(0.03)
    joint = ((u / np.float32(surface.cell) - row) < 0.07) | ((shifted - board) < 0.012)
    return joint.astype(np.float32), tone + grain


def _tiles(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square tiles with joints in the second colour."""
    a, b = u / np.float32(surface.cell), v / np.float32(surface.cell)
    i, j = np.floor(a), np.floor(b)
    joint = (np.minimum(a - i, b - j) < 0.05).astype(np.float32)
    return joint, (_hash(i, j, surface.salt) - 0.5) * np.float32(0.12)


def _checker(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.floor(u / np.float32(surface.cell)), np.floor(v / np.float32(surface.cell))
    odd = ((i + j).astype(np.int64) & 1).astype(np.float32)
    return odd, (_hash(i, j, surface.salt) - 0.5) * np.float32(0.1)


def _parquet(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of strips, turned by a right angle from block to block."""
    a, b = u / np.float32(surface.cell * 4), v / np.float32(surface.cell * 4)
    i, j = np.floor(a), np.floor(b)
    across = np.where(((i + j).astype(np.int64) & 1) > 0, a - i, b - j) * 4
    strip = np.floor(across)
    tone = (_hash(i * 5 + strip, j, surface.salt) - 0.5) * np.float32(0.36)
    return ((across - strip) < 0.06).astype(np.float32), tone


def _stripes(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stripe = np.floor(u / np.float32(surface.cell))
    return (stripe.astype(np.int64) & 1).astype(np.float32), np.zeros_like(u)


def _dado(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower part of the wall in the second colour, with upright boards."""
    lower = v < 0.95
    board = (u / np.float32(surface.cell)) % 1 < 0.08
    return lower.astype(np.float32), np.where(lower & board, np.float32(-0.15), np.float32(0))


def _bricks(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height = np.float32(surface.cell * 0.4)
    row = np.floor(v / height)
    shifted = u / np.float32(surface.cell) + (row % 2) * np.float32(0.5)
    brick = np.floor(shifted)
    joint = ((v / height - row) < 0.14) | ((shifted - brick) < 0.05)
    return joint.astype(np.float32), (_hash(brick, row, surface.salt) - 0.5) * np.float32(0.3)


def _diamonds(surface: Surface, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wallpaper with a small motif in a lattice."""
    a, b = u / np.float32(surface.cell), v / np.float32(surface.cell)
    row = np.floor(b)
    a = a + (row % 2) * np.float32(0.5)
    motif = np.abs(a - np.floor(a) - 0.5) + np.abs(b - row - 0.5)
    return (motif < 0.28).astype(np.float32), np.zeros_like(u)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "planks": _planks,
    "tiles": _tiles,
    "checker": _checker,
    "parquet": _parquet,
    "stripes": _stripes,
    "dado": _dado,
    "bricks": _bricks,
    "diamonds": _diamonds,
}
