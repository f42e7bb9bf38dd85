"""What a ray through a pixel meets first: an independent way to tell which thing a picture must show."""

import math

import numpy as np

from cascade_exit.data.rooms.scene import Scene
from cascade_exit.data.rooms.shapes import Part


def first_hits(scene: Scene, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Number of the thing that each ray meets first, -1 for the bare room; pixels as (column, row) floats."""
    camera = scene.camera
    eye = np.array([camera.x, camera.y, camera.z])
    right, down, view = (np.array(axis) for axis in camera.axes())
    across = (columns - camera.width / 2) / camera.focal_px
    below = (rows - camera.height / 2) / camera.focal_px
    rays = view + across[:, None] * right + below[:, None] * down
    nearest, owner = np.full(len(rays), np.inf), np.full(len(rays), -1)
    for group in scene.groups:
        for part in group.parts:
            corners = _world_corners(part, group.x, group.y, group.z, group.turn)
            entry = _entry(eye, rays, corners)
            closer = entry < nearest
            nearest[closer], owner[closer] = entry[closer], part.owner
    return owner


def _world_corners(part: Part, x: float, y: float, z: float, turn: float) -> np.ndarray:
    """Corners of a part in the world, ``[2, corner, 3]``."""
    angles = [math.tau * i / 12 for i in range(12)] if part.is_round else []
    unit = [(math.cos(a), math.sin(a)) for a in angles] or [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    bottom = [(u * part.base_x, 0.0, v * part.base_z) for u, v in unit]
    top = [(part.lean_x + u * part.top_x, part.height, part.lean_z + v * part.top_z) for u, v in unit]
    corners = np.array([bottom, top])
    if part.facing:
        corners = np.stack((corners[..., 0], corners[..., 2], -corners[..., 1]), axis=-1)
    corners = _turn(corners, part.turn) + (part.x, part.y, part.z)
    return _turn(corners, turn) + (x, y, z)


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = math.cos(angle), math.sin(angle)
    return points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def _entry(eye: np.ndarray, rays: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How far along each ray it enters a convex solid, infinity where it misses (clipping by half-spaces)."""
    middle = corners.mean(axis=(0, 1))
    low, high = corners
    quads = [(low[i], low[i - 1], high[i], high[i - 1]) for i in range(len(low))]
    planes = [(a, np.cross(d - a, c - b)) for a, b, c, d in quads]
    planes += [(side[0], np.cross(side[1] - side[0], side[2] - side[0])) for side in (low, high)]
    enter, leave = np.zeros(len(rays)), np.full(len(rays), np.inf)
    for point, normal in planes:
        if not normal.any():
            continue
        outward = normal if normal @ (point - middle) > 0 else -normal
        slope, ahead = rays @ outward, float(outward @ (point - eye))
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = ahead / slope
        enter = np.where(slope < 0, np.maximum(enter, cut), enter)
        leave = np.where(slope > 0, np.minimum(leave, cut), leave)
        leave = np.where((slope == 0) & (ahead < 0), -1.0, leave)
    return np.where(enter < leave, enter, np.inf)
