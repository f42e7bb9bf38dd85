"""From the parts of a scene to the list of polygons to paint, back to front."""

import math
from dataclasses import dataclass

import numpy as np

from cascade_exit.data.rooms.order import painting_order
from cascade_exit.data.rooms.scene import Light, Scene

NEAR_M = 0.12

_ROUND_SIDES = 12
_CORNERS = {
    False: np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64),
    True: np.array(
        [[math.cos(i * math.tau / _ROUND_SIDES), math.sin(i * math.tau / _ROUND_SIDES)] for i in range(_ROUND_SIDES)]
    ),
}


@dataclass(frozen=True)
class Polygon:
    """One visible face: corners x0, y0, x1, y1, … on the canvas, colour in 0..255, owning thing."""

    corners: list[int]
    colour: tuple[int, int, int]
    owner: int


def scene_polygons(scene: Scene, scale: int) -> list[Polygon]:
    """List the faces of a scene that look at the camera, in the order in which they must be painted.

    Corners are whole numbers on a canvas of ``scale`` times the size of the camera's picture.
    Groups with a vertex nearer than ``NEAR_M`` to the camera's plane are left out.
    """
    parts = [part for group in scene.groups for part in group.parts]
    if not parts:
        return []
    table = np.array(parts, dtype=np.float64)
    group_of = np.repeat(np.arange(len(scene.groups)), [len(group.parts) for group in scene.groups])
    frames = np.array([(group.x, group.y, group.z, group.turn) for group in scene.groups])
    low, high = np.empty((len(parts), 3)), np.empty((len(parts), 3))
    screen_low, screen_high = np.empty((len(parts), 3)), np.empty((len(parts), 3))
    faces: list[list[Polygon]] = [[] for _ in parts]
    for is_round in (False, True):
        rows = np.flatnonzero(table[:, 0] == is_round)
        if not len(rows):
            continue
        local = _vertices(table[rows], _CORNERS[is_round])
        low[rows], high[rows] = local.min(axis=(1, 2)), local.max(axis=(1, 2))
        world = _to_world(local, frames[group_of[rows]])
        seen = scene.camera.project(world)
        screen_low[rows], screen_high[rows] = seen.min(axis=(1, 2)), seen.max(axis=(1, 2))
        for row, polygons in zip(rows, _faces(scene, world, seen[..., :2] * scale, table[rows]), strict=True):
            faces[row] = polygons
    order = _group_and_part_order(scene, frames, group_of, low, high, screen_low, screen_high)
    return [polygon for part in order for polygon in faces[part]]


def _vertices(table: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Corners of parts (rows in the order of ``Part``): ``[part, 2 (bottom, top), corner, 3]``."""
    facing, (x, y, z), height = table[:, 1] > 0, table[:, 2:5].T, table[:, 5]
    base_x, base_z, lean_x, lean_z, top_x, top_z, turn = table[:, 6:13].T
    local = np.zeros((len(table), 2, len(corners), 3))
    local[:, 0, :, 0] = base_x[:, None] * corners[:, 0]
    local[:, 0, :, 2] = base_z[:, None] * corners[:, 1]
    local[:, 1, :, 0] = lean_x[:, None] + top_x[:, None] * corners[:, 0]
    local[:, 1, :, 2] = lean_z[:, None] + top_z[:, None] * corners[:, 1]
    local[:, 1, :, 1] = height[:, None]
    if facing.any():
        tipped = local[facing]
        local[facing] = np.stack((tipped[..., 0], tipped[..., 2], -tipped[..., 1]), axis=-1)
    return _turned(local, turn) + np.stack((x, y, z), axis=-1)[:, None, None, :]


def _turned(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    cosine, sine = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack((x * cosine + z * sine, y, z * cosine - x * sine), axis=-1)


def _to_world(local: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return _turned(local, frames[:, 3]) + frames[:, None, None, :3]


def _faces(scene: Scene, world: np.ndarray, seen: np.ndarray, table: np.ndarray) -> list[list[Polygon]]:
    """Visible faces of each part, for parts with equal numbers of corners.

    ``world`` is ``[part, 2, corner, 3]``, ``seen`` likewise with canvas coordinates for the last dimension.
    """
    parts, _, sides, _ = world.shape
    normals, anchors = _normals(world)
    eye = np.array((scene.camera.x, scene.camera.y, scene.camera.z))
    visible = _dot(normals, eye - anchors) > 1e-9
    colours = _shaded(normals, table, scene.light).tolist()
    owners = table[:, 17].astype(int).tolist()
    # The pixel that a corner lies in: PIL paints a polygon with its outline.
    pixels = np.floor(seen).astype(np.int64)
    following = np.roll(np.arange(sides), -1)
    low, high = pixels[:, 0], pixels[:, 1]
    walls = np.concatenate((low, low[:, following], high[:, following], high), axis=-1).tolist()
    lids = np.stack((high, low), axis=1).reshape(parts, 2, -1).tolist()
    faces: list[list[Polygon]] = [[] for _ in range(parts)]
    for part, face in zip(*(index.tolist() for index in np.nonzero(visible)), strict=True):
        corners = walls[part][face] if face < sides else lids[part][face - sides]
        red, green, blue = colours[part][face]
        faces[part].append(Polygon(corners, (red, green, blue), owners[part]))
    return faces


def _normals(world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals that point outwards, and a corner, of every face: the sides, then top, then bottom.

    Both are ``[part, face, 3]``; the normal of a face without area is 0.
    """
    following = np.roll(np.arange(world.shape[2]), -1)
    bottom, top = world[:, 0], world[:, 1]
    sides = _cross(top[:, following] - bottom, top - bottom[:, following])
    lids = _cross(world[:, ::-1, 1] - world[:, ::-1, 0], world[:, ::-1, 2] - world[:, ::-1, 0])
    normals = np.concatenate((sides, lids), axis=1)
    anchors = np.concatenate((bottom, world[:, ::-1, 0]), axis=1)
    middle = (bottom.mean(axis=1) + top.mean(axis=1))[:, None] / 2
    outwards = np.concatenate(((bottom + top[:, following]) / 2, world[:, ::-1].mean(axis=2)), axis=1) - middle
    lengths = np.sqrt(_dot(normals, normals))
    signs = np.where(_dot(normals, outwards) < 0, -1.0, 1.0)
    return normals * (signs / np.maximum(lengths, 1e-12))[..., None], anchors


def _shaded(normals: np.ndarray, table: np.ndarray, light: Light) -> np.ndarray:
    """Colour of every face, ``[part, face, 3]`` integers: sky light from above plus the key light."""
    key = np.maximum(normals[..., 0] * light.x + normals[..., 1] * light.y + normals[..., 2] * light.z, 0.0)
    sky = 0.80 + 0.20 * normals[..., 1]
    lit = light.ambient * sky + light.key * key
    glow = table[:, 16][:, None]
    strength = lit * (1 - glow) + 1.05 * glow
    colours = table[:, None, 13:16] * strength[..., None]
    return np.clip(colours + 0.5, 1, 255).astype(np.int64)


def _group_and_part_order(
    scene: Scene, frames: np.ndarray, group_of: np.ndarray, low: np.ndarray, high: np.ndarray,
    screen_low: np.ndarray, screen_high: np.ndarray,
) -> list[int]:  # fmt: skip
    eye = np.array((scene.camera.x, scene.camera.y, scene.camera.z))
    offset = (eye - frames[:, :3])[:, None, None, :]
    eyes = _turned(offset, -frames[:, 3])[:, 0, 0]
    members = [np.flatnonzero(group_of == group) for group in range(len(frames))]
    group_low = np.stack([low[rows].min(axis=0) for rows in members])
    group_high = np.stack([high[rows].max(axis=0) for rows in members])
    group_screen_low = np.stack([screen_low[rows].min(axis=0) for rows in members])
    group_screen_high = np.stack([screen_high[rows].max(axis=0) for rows in members])
    other_low, other_high = _bounds_in_other_frames(frames, group_low, group_high)
    outer = painting_order(group_low, group_high, other_low, other_high, eyes, group_screen_low, group_screen_high)
    order: list[int] = []
    for group in outer:
        rows = members[group]
        if group_screen_low[group, 2] < NEAR_M:
            continue
        inner = painting_order(
            low[rows], high[rows], low[rows][None], high[rows][None], eyes[group][None],
            screen_low[rows], screen_high[rows],
        )  # fmt: skip
        order += rows[inner].tolist()
    return order


def _bounds_in_other_frames(frames: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of group j in the frame of group i, two arrays ``[i, j, 3]``."""
    corner_x = np.stack((low[:, 0], high[:, 0], high[:, 0], low[:, 0]), axis=1)
    corner_z = np.stack((low[:, 2], low[:, 2], high[:, 2], high[:, 2]), axis=1)
    flat = np.stack((corner_x, np.zeros_like(corner_x), corner_z), axis=-1)[:, None]
    world = _to_world(flat, frames)[:, 0]
    relative = world[None] - frames[:, None, None, :3]
    local = _turned(relative, -frames[:, 3])
    other_low, other_high = local.min(axis=2), local.max(axis=2)
    heights = frames[:, 1][None, :] - frames[:, 1][:, None]
    other_low[..., 1] = low[:, 1][None, :] + heights
    other_high[..., 1] = high[:, 1][None, :] + heights
    return other_low, other_high


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack(
        (
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ),
        axis=-1,
    )


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])
