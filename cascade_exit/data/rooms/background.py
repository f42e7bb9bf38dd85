"""The bare room: floor, walls and ceiling with their patterns, skirting, rugs, and shadows on all of them.

Every pixel's ray is cut with the planes of the room; colours are functions of the point that it meets.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cascade_exit.data.rooms.patterns import pattern_at
from cascade_exit.data.rooms.scene import Room, Rug, Scene, toward

_FLOOR, _CEILING, _BACK, _LEFT, _RIGHT = range(5)


def paint_background(scene: Scene) -> np.ndarray:
    """Paint the empty room with the shadows of the things in it.

    Returns:
        ``[height, width, 3]`` float32 from 0 to 255, before exposure.
    """
    plane, (x, y, z), detail = _meet_room(scene)
    materials = _Materials(scene.room)
    share, tone = np.zeros_like(x), np.zeros_like(x)
    material = np.full(x.shape, materials.ceiling, dtype=np.int8)

    floor = np.flatnonzero(plane == _FLOOR)
    material[floor] = materials.floor
    share[floor], tone[floor] = pattern_at(scene.room.floor, x[floor], z[floor], detail[floor])
    for rug, number in zip(scene.room.rugs, materials.rugs, strict=True):
        inside, bands = _rug(rug, x[floor], z[floor])
        material[floor[inside]], share[floor[inside]], tone[floor[inside]] = number, bands, 0

    wall = np.flatnonzero(plane >= _BACK)
    material[wall] = materials.walls
    along = np.where(plane[wall] == _BACK, x[wall], z[wall])
    share[wall], tone[wall] = pattern_at(scene.room.walls, along, y[wall], detail[wall])
    skirting = wall[y[wall] < scene.room.skirting_height]
    material[skirting], share[skirting], tone[skirting] = materials.skirting, 0, 0

    strength = _plane_light(scene).take(plane) * _corner_shade(scene.room, x, y, z) * (1 + tone)
    strength[floor] *= _floor_light(scene).reshape(-1)[floor]
    colours = materials.first.take(material, axis=0)
    colours += materials.step.take(material, axis=0) * share[:, None]
    colours *= strength[:, None]
    return colours.reshape(scene.camera.height, scene.camera.width, 3)


class _Materials:
    """Numbers and colours of all that the room is covered with: ``first`` plus a share of ``step``."""

    def __init__(self, room: Room) -> None:
        pairs = [
            (room.ceiling, room.ceiling),
            (room.floor.colour, room.floor.second),
            (room.walls.colour, room.walls.second),
            (room.skirting, room.skirting),
            *((rug.colour, rug.second) for rug in room.rugs),
        ]
        self.ceiling, self.floor, self.walls, self.skirting = range(4)
        self.rugs = range(4, len(pairs))
        self.first = np.array([first for first, _ in pairs], dtype=np.float32)
        self.step = np.array([second for _, second in pairs], dtype=np.float32) - self.first


def _meet_room(scene: Scene) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Cut every pixel's ray with the room.

    Returns:
        The plane's number, the point that it meets (x, y, z) and the pixels per metre there, all ``[pixel]``.
    """
    camera, room = scene.camera, scene.room
    # A level ray would divide by zero; this far it meets nothing that a level one would not.
    dx, dy, dz = camera.rays().reshape(3, -1) + np.float32(1e-7)
    to_side = (np.copysign(np.float32(room.width / 2), dx) - np.float32(camera.x)) / dx
    to_level = np.where(dy > 0, np.float32(room.height - camera.y), np.float32(-camera.y)) / dy
    to_back = np.where(dz > 0, np.float32(room.depth - camera.z), np.float32(1e4)) / np.abs(dz)
    reach = np.minimum(np.minimum(to_side, to_level), to_back)
    plane = np.where(dx > 0, np.int8(_RIGHT), np.int8(_LEFT))
    plane[reach == to_back] = _BACK
    on_level = reach == to_level
    plane[on_level] = np.where(dy[on_level] > 0, np.int8(_CEILING), np.int8(_FLOOR))
    x, y, z = np.float32(camera.x) + dx * reach, np.float32(camera.y) + dy * reach, np.float32(camera.z) + dz * reach
    return plane, (x, y, z), np.float32(camera.focal_px) / np.maximum(reach, np.float32(0.1))


def _plane_light(scene: Scene) -> np.ndarray:
    """Light on the five planes, ``[plane]``."""
    light = scene.light
    facing = (light.y, 0.25, -light.z, light.x, -light.x)
    return np.array([light.ambient + light.key * max(value, 0.0) for value in facing], dtype=np.float32)


def _corner_shade(room: Room, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Darken where two planes meet; every point lies on one plane itself, which adds 1 to the sum."""
    soft = np.float32(0.35)
    closeness = np.zeros_like(x)
    for distance in (room.width / 2 - np.abs(x), y, room.height - y, room.depth - z):
        near = soft / (np.abs(distance) + soft)
        closeness += near * near
    return np.asarray(np.float32(1.17) - np.float32(0.17) * np.maximum(closeness, 1), dtype=np.float32)


def _rug(rug: Rug, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the points on the rug, and for those the share of the second colour."""
    cosine, sine = np.float32(np.cos(rug.turn)), np.float32(np.sin(rug.turn))
    dx, dz = x - np.float32(rug.x), z - np.float32(rug.z)
    u = (dx * cosine - dz * sine) / np.float32(rug.half_width)
    v = (dx * sine + dz * cosine) / np.float32(rug.half_depth)
    out = np.sqrt(u * u + v * v) if rug.is_round else np.maximum(np.abs(u), np.abs(v))
    inside = np.flatnonzero(out < 1)
    bands = (out[inside] * np.float32(rug.bands) + np.float32(0.3)).astype(np.int32) & 1
    return inside, bands.astype(np.float32)


def _floor_light(scene: Scene) -> np.ndarray:
    """Share of light that reaches the floor, ``[height, width]``: soft contact shadows and the patch of sun."""
    width, height = scene.camera.width, scene.camera.height
    layer = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(layer)
    for outline, strength in shadow_outlines(scene):
        corners = [scene.camera.project_point(x, 0.0, z) for x, z in outline]
        if min(corner[2] for corner in corners) > 0.1:
            draw.polygon([(column, row) for column, row, _ in corners], fill=round(255 * (1 - strength)))
    layer = layer.filter(ImageFilter.BoxBlur(max(width, height) / 130))
    share = np.asarray(layer, dtype=np.float32) / 255
    patch = scene.light.sun_patch
    if patch:
        corners = [scene.camera.project_point(x, 0.0, z) for x, z in patch]
        if min(corner[2] for corner in corners) > 0.1:
            sun = Image.new("L", (width, height), 0)
            ImageDraw.Draw(sun).polygon([(column, row) for column, row, _ in corners], fill=255)
            lit = np.asarray(sun.filter(ImageFilter.BoxBlur(1.5)), dtype=np.float32) / 255
            share = share * (1 + 0.35 * lit)
    return share


def shadow_outlines(scene: Scene) -> list[tuple[list[tuple[float, float]], float]]:
    """Give for each thing that stands on the floor the outline (x, z) of its shadow and how dark it is."""
    outlines = []
    for group in scene.groups:
        bounds: dict[int, list[float]] = {}
        for part in group.parts:
            thing = scene.things[part.owner]
            if thing.rests_on is not None or group.y + part.y > 0.9:
                continue
            reach_x, reach_z = max(part.base_x, part.top_x), max(part.base_z, part.top_z)
            box = bounds.setdefault(part.owner, [1e9, 1e9, -1e9, -1e9, 1e9])
            box[0], box[1] = min(box[0], part.x - reach_x), min(box[1], part.z - reach_z)
            box[2], box[3] = max(box[2], part.x + reach_x), max(box[3], part.z + reach_z)
            box[4] = min(box[4], part.y)
        for left, near, right, far, lowest in bounds.values():
            if group.y + lowest > 0.3:
                continue
            shift_x, shift_z = -0.10 * scene.light.x, -0.10 * scene.light.z
            corners = [(left, near), (right, near), (right, far), (left, far)]
            outline = [toward(group.x, group.z, group.turn, dx, dz) for dx, dz in corners]
            outlines.append(([(x + shift_x, z + shift_z) for x, z in outline], 0.42))
    return outlines
