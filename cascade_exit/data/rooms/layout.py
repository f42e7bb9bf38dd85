"""The three kinds of scenes: empty, simple and crowded."""

import dataclasses
import math
from collections.abc import Mapping
from random import Random

from cascade_exit.data.rooms.camera import Camera
from cascade_exit.data.rooms.catalogue import (
    AGAINST_A_WALL,
    FREE_STANDING,
    ON_A_WALL,
    ON_TOP,
    SUBJECT_HEIGHT,
    SUPPORTS,
    Builder,
    support_of,
)
from cascade_exit.data.rooms.chairs import chair
from cascade_exit.data.rooms.config import Difficulty
from cascade_exit.data.rooms.furniture import dining_table, stool
from cascade_exit.data.rooms.placement import WALLS, Placer
from cascade_exit.data.rooms.sampling import (
    sample_camera,
    sample_lens,
    sample_light,
    sample_room,
    sample_size,
)
from cascade_exit.data.rooms.scene import Group, Scene
from cascade_exit.data.rooms.shapes import Item

_HANGING_HEIGHT = {
    "window": (0.8, 1.0), "picture": (1.1, 1.6), "door": (0.0, 0.0), "radiator": (0.1, 0.15),
    "board": (1.2, 1.6), "clock": (1.5, 1.95), "tv": (0.9, 1.3),
}  # fmt: skip


def sample_scene(rng: Random, difficulty: Difficulty, size_px: tuple[int, int], classes: tuple[str, ...]) -> Scene:
    """Lay out one scene.

    What is promised of a difficulty (how many annotated things, how much of them is seen) can only be told
    from the finished picture: the caller checks it and asks again with other chance.
    """
    size = sample_size(rng, size_px)
    if difficulty == "simple":
        return _simple(rng, size, classes)
    return _crowded(rng, size, classes) if difficulty == "crowded" else _empty(rng, size, classes)


def _empty(rng: Random, size: tuple[int, int], classes: tuple[str, ...]) -> Scene:
    """Nothing of the asked classes: bare rooms, and furnished ones that look like the crowded ones."""
    placer = _open_view(rng, "empty", size, classes, deep=rng.random() < 0.4)
    style = rng.random()
    if style < 0.3:
        _furnish(placer, others_only=True, floor=0, walls=rng.randint(0, 2))
    else:
        if style > 0.7:
            seat = stool(rng)
            _table_group(placer, seats=rng.randint(0, 5), seat=seat)
        _furnish(placer, others_only=True, floor=rng.randint(1, 8), walls=rng.randint(1, 5))
    return placer.scene


def _crowded(rng: Random, size: tuple[int, int], classes: tuple[str, ...]) -> Scene:
    """Many things of the asked classes among furniture: near and far, hidden and cut off."""
    placer = _open_view(rng, "crowded", size, classes, deep=True)
    wanted = rng.randint(4, 9)
    if "chair" in classes:
        plan = rng.random()
        if plan < 0.45:
            wanted -= _table_group(placer, seats=min(rng.randint(2, 6), wanted), seat=None)
        elif plan < 0.65:
            wanted -= _rows(placer, wanted)
    if rng.random() < 0.35:
        _foreground(placer)
    for _ in range(wanted):
        _scatter(placer, rng.choice(classes))
    _furnish(placer, others_only=False, floor=rng.randint(2, 7), walls=rng.randint(1, 5))
    return placer.scene


def _simple(rng: Random, size: tuple[int, int], classes: tuple[str, ...]) -> Scene:
    """One thing of an asked class, wholly in view."""
    name = rng.choice(classes)
    places = [kind for kind in (FREE_STANDING, AGAINST_A_WALL, ON_TOP, ON_A_WALL) if name in kind]
    kind = rng.choice(places)
    item = kind[name](rng)
    support = _support(rng, classes, labelled_too=False) if kind is ON_TOP else None
    base = support.tops[0].y if support else (rng.uniform(*_HANGING_HEIGHT[name]) if kind is ON_A_WALL else 0.0)

    camera, width, x, z = _aim(rng, size, item, support, base)
    flush = kind is ON_A_WALL or kind is AGAINST_A_WALL
    behind = item.depth / 2 + (0.0 if kind is ON_A_WALL else 0.11)
    room = sample_room(rng, width, z + (behind if flush else rng.uniform(0.7, 3.0)))
    placer = Placer(Scene("simple", camera, room, sample_light(rng, room)), classes, rng)
    turn = 0.0 if flush else rng.uniform(-math.pi, math.pi)
    _place_subject(placer, item, support, x, z, base, turn)
    _furnish(placer, others_only=True, floor=rng.randint(0, 5), walls=rng.randint(0, 4))
    return placer.scene


def _aim(
    rng: Random, size: tuple[int, int], item: Item, support: Item | None, base: float
) -> tuple[Camera, float, float, float]:
    """Point a camera at something ``base`` metres above the floor, so that it has a random size and place in view.

    Returns:
        The camera, the width of a room that both fit into, and the place (x, z) of the thing.
    """
    focal = sample_lens(rng, size, 48.0, 72.0)
    low, high = SUBJECT_HEIGHT[item.name]
    depth = focal * item.height / (rng.uniform(low, high) * size[1])
    depth = max(depth, 0.6 + max(item.depth, item.width, support.depth if support else 0.0) / 2)
    reach = max(size[0] / 2 - focal * item.width / depth / 2 - 4, 0.0) / focal * depth
    height, yaw = rng.uniform(1.1, 1.7), rng.uniform(-0.35, 0.35)
    pitch = _pitch(rng, size[1], focal, height - base - item.height / 2, depth, item.height)
    camera = sample_camera(rng, size, focal, 0.0, yaw, pitch, height)
    x, z = camera.floor_point(depth, rng.uniform(-reach, reach))
    to_wall = 0.72 * math.hypot(item.width, item.depth) + (0.5 if support else 0.15)
    width = max(rng.uniform(3.2, 6.5), abs(x) + to_wall + 0.5, 2 * to_wall + 0.5)
    leftmost, rightmost = max(0.4, to_wall - x) - width / 2, width / 2 - max(0.4, to_wall + x)
    shift = rng.uniform(leftmost, rightmost)
    return dataclasses.replace(camera, x=shift), width, x + shift, z


def _place_subject(
    placer: Placer, item: Item, support: Item | None, x: float, z: float, base: float, turn: float
) -> None:
    scene = placer.scene
    if support:
        placed = placer.on_floor(support, x, z, placer.rng.uniform(-0.3, 0.3))
        if placed:
            placer.subject_on_top(*placed, item, support.tops[0])
            placer.subject = placer.extent_of(placed[0], item, base)
        return
    if base > 0:
        group = scene.add_group(x, base, z, 0.0)
        scene.add(group, item, True, 0.0, 0.0, 0.0, 0.0)
    else:
        placed = placer.on_floor(item, x, z, turn)
        if not placed:
            return
        group = placed[0]
    placer.subject = placer.extent_of(group, item, 0.0)


def _open_view(
    rng: Random, difficulty: Difficulty, size: tuple[int, int], classes: tuple[str, ...], deep: bool
) -> Placer:
    """A camera that looks into an empty room."""
    width = rng.uniform(4.0, 9.0) if deep else rng.uniform(3.2, 6.0)
    depth = rng.uniform(4.5, 11.0) if deep else rng.uniform(3.0, 6.0)
    focal = sample_lens(rng, size, 58.0, 84.0) if deep else sample_lens(rng, size, 50.0, 75.0)
    camera = sample_camera(
        rng,
        size,
        focal,
        x=rng.uniform(-0.25, 0.25) * width,
        yaw=rng.uniform(-0.45, 0.45),
        pitch=rng.uniform(0.04, 0.34),
        height=rng.uniform(1.2, 1.9),
    )
    room = sample_room(rng, width, depth)
    return Placer(Scene(difficulty, camera, room, sample_light(rng, room)), classes, rng)


def _pitch(rng: Random, picture_height: int, focal: float, below: float, depth: float, height: float) -> float:
    """Tilt the camera so that something ``below`` its eye level appears at a random row, wholly in view."""
    half = focal * height / depth / 2 / picture_height + 0.05
    direct = math.atan2(below, depth)
    pitch = 0.0
    for _ in range(8):
        row = rng.uniform(half, max(1 - half, half))
        pitch = direct - math.atan((row - 0.5) * picture_height / focal)
        if -0.12 < pitch < 0.5:
            break
    return pitch


def _support(rng: Random, classes: tuple[str, ...], labelled_too: bool) -> Item:
    """Furniture that something can stand on; ``labelled_too`` allows for a table where tables are annotated."""
    names = [name for name in SUPPORTS if labelled_too or name not in classes]
    if "dining table" in classes:
        names.remove("low table")
    while not (item := support_of(rng.choice(names))(rng)).tops:
        pass
    return item


def _table_group(placer: Placer, seats: int, seat: Item | None) -> int:
    """A table with seats drawn up to it; gives the number of seats placed."""
    rng = placer.rng
    if seat is not None and "dining table" in placer.classes:
        return 0
    table = dining_table(rng)
    style = seat or chair(rng)
    for _ in range(12):
        x, z = _visible_spot(placer, style.height, 0.75)
        turn = rng.uniform(-math.pi, math.pi)
        group = placer.reserve(table.width + 1.1, table.depth + 1.1, 1.0, x, z, turn)
        if group is None:
            continue
        number = placer.scene.add(group, table, table.name in placer.classes, 0.0, 0.0, 0.0, 0.0)
        spots = _seats_around(rng, table)
        rng.shuffle(spots)
        for dx, dz, facing in spots[:seats]:
            item = style if seat or rng.random() < 0.85 else chair(rng)
            placer.scene.add(group, item, item.name in placer.classes, dx, 0.0, dz, facing)
        _lay_table(placer, group, number, table)
        return min(seats, len(spots))
    return 0


def _seats_around(rng: Random, table: Item) -> list[tuple[float, float, float]]:
    """Places (x, z, turn) at the long and short sides of a table, drawn up or pulled out."""
    spots = []
    per_side = 2 if table.width > 1.25 else 1
    for side in (-1, 1):
        for i in range(per_side):
            dx = (i - (per_side - 1) / 2) * table.width * 0.5
            out = table.depth / 2 + rng.uniform(0.02, 0.28)
            spots.append((dx, side * out, (0.0 if side > 0 else math.pi) + rng.gauss(0, 0.12)))
        out = table.width / 2 + rng.uniform(0.05, 0.28)
        spots.append((side * out, 0.0, side * math.pi / 2 + rng.gauss(0, 0.12)))
    return spots


def _rows(placer: Placer, wanted: int) -> int:
    """Equal chairs in rows, as in a class or waiting room; gives the number placed."""
    rng = placer.rng
    style = chair(rng)
    columns = rng.randint(2, 4)
    rows = max(1, wanted // columns)
    step_x, step_z = style.width + rng.uniform(0.1, 0.4), style.depth + rng.uniform(0.25, 0.6)
    for _ in range(12):
        x, z = _visible_spot(placer, style.height, 0.8)
        turn = rng.choice((0.0, math.pi, rng.uniform(-math.pi, math.pi)))
        group = placer.reserve(columns * step_x, rows * step_z, style.height, x, z, turn)
        if group is None:
            continue
        for i in range(columns * rows):
            dx = (i % columns - (columns - 1) / 2) * step_x
            dz = (i // columns - (rows - 1) / 2) * step_z
            facing = rng.gauss(0, 0.08)
            placer.scene.add(group, style, True, dx + rng.gauss(0, 0.02), 0.0, dz + rng.gauss(0, 0.02), facing)
        return columns * rows
    return 0


def _scatter(placer: Placer, name: str) -> None:
    """Place one thing of a class wherever such things go, at a random size in the picture."""
    rng = placer.rng
    kinds = [kind for kind in (FREE_STANDING, AGAINST_A_WALL, ON_TOP, ON_A_WALL) if name in kind]
    kind = rng.choice(kinds)
    for _ in range(10):
        if kind is ON_TOP:
            support = _support(rng, placer.classes, labelled_too=True)
            x, z = _visible_spot(placer, support.height, 0.9)
            placed = placer.on_floor(support, x, z, rng.uniform(-math.pi, math.pi))
            if placed:
                other = rng.choice(_allowed(placer, ON_TOP, others_only=False))
                placer.set_on_top(*placed, support.tops[0], (name, name, other))
                return
        elif kind is ON_A_WALL:
            if placer.on_wall(kind[name](rng), rng.choice(WALLS), rng.uniform(*_HANGING_HEIGHT[name])):
                return
        elif kind is AGAINST_A_WALL and rng.random() < 0.6:
            if placer.along_wall(kind[name](rng), rng.choice(WALLS)):
                return
        elif name in FREE_STANDING:
            item = FREE_STANDING[name](rng)
            x, z = _visible_spot(placer, item.height, 1.02)
            if placer.on_floor(item, x, z, rng.uniform(-math.pi, math.pi), gap=0.02):
                return


def _visible_spot(placer: Placer, height: float, side: float) -> tuple[float, float]:
    """A place on the floor in view where something of this height covers at most 45 % of the picture's height.

    ``side`` is how far towards the borders it may lie; above 1 it may be cut off.
    """
    camera, rng = placer.scene.camera, placer.rng
    nearest = camera.focal_px * height / (0.45 * camera.height)
    farthest = max(placer.scene.room.depth - 0.4, nearest + 0.5)
    depth = nearest * (farthest / nearest) ** rng.random()
    sideways = rng.uniform(-side, side) * depth * camera.width / 2 / camera.focal_px
    return camera.floor_point(depth, sideways)


def _foreground(placer: Placer) -> None:
    """Something large and near that hides what is behind it."""
    rng, camera = placer.rng, placer.scene.camera
    names = ("potted plant", "dining table", "couch", "box", "lamp", "stool")
    item = FREE_STANDING[rng.choice(names)](rng)
    for _ in range(6):
        depth = rng.uniform(1.2, 2.2)
        x, z = camera.floor_point(depth, rng.uniform(-0.9, 0.9) * depth * camera.width / 2 / camera.focal_px)
        if placer.on_floor(item, x, z, rng.uniform(-math.pi, math.pi)):
            return


def _furnish(placer: Placer, others_only: bool, floor: int, walls: int) -> None:
    """Add furniture and things on the walls; ``others_only`` leaves out the asked classes."""
    rng = placer.rng
    for _ in range(walls):
        name = rng.choice(_allowed(placer, ON_A_WALL, others_only))
        for wall in rng.sample(WALLS, 2):
            placed = placer.on_wall(ON_A_WALL[name](rng), wall, rng.uniform(*_HANGING_HEIGHT[name]))
            if placed:
                break
    for _ in range(floor):
        against = rng.random() < 0.5
        kind = AGAINST_A_WALL if against else FREE_STANDING
        name = rng.choice(_allowed(placer, kind, others_only))
        if name == "chair":
            continue
        item = kind[name](rng)
        for _ in range(4):
            if against:
                placed = placer.along_wall(item, rng.choice(WALLS))
            else:
                x, z = _visible_spot(placer, item.height, 1.1)
                placed = placer.on_floor(item, x, z, rng.uniform(-math.pi, math.pi))
            if placed:
                for top in item.tops:
                    if rng.random() < 0.6:
                        names = tuple(_allowed(placer, ON_TOP, others_only))
                        placer.set_on_top(*placed, top, names)
                break


def _lay_table(placer: Placer, group: Group, number: int, table: Item) -> None:
    if placer.rng.random() < 0.7:
        names = tuple(_allowed(placer, ON_TOP, placer.scene.difficulty == "empty"))
        placer.set_on_top(group, number, table.tops[0], names)


def _allowed(placer: Placer, kind: Mapping[str, Builder], others_only: bool) -> list[str]:
    """Names that may be placed; a low table would pass for an annotated one where those are asked for."""
    names = [name for name in kind if not (others_only and name in placer.classes)]
    return [name for name in names if not (name == "low table" and "dining table" in placer.classes)]
