"""What can be seen of each thing in a finished picture: box, area, how much is hidden or cut off."""

from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from cascade_exit.data.rooms.config import Difficulty
from cascade_exit.data.rooms.layout import sample_scene
from cascade_exit.data.rooms.render import OVERSAMPLING, Layer, draw_things
from cascade_exit.data.rooms.scene import Scene

LEAST_SIDE_PX = 8.0
LEAST_VISIBLE = 0.25
CROWD_OF_ONE_CLASS = (3, 8)
CROWD_OF_CLASSES = (3, 24)

_MOST_ATTEMPTS = 200
_CHAIR_HEIGHT = {"simple": (0.25, 0.60), "crowded": (0.0, 0.50)}


@dataclass(frozen=True)
class SeenThing:
    """One annotated thing in a picture.

    Attributes:
        number: The thing's number in its scene.
        name: Its class.
        box_xyxy_px: Tight extent of its visible pixels; multiples of half a pixel.
        area_px: Area of its visible pixels.
        occlusion: Share of its silhouette within the picture that other things hide, 0 to 1.
        truncation: Share of its silhouette beyond the border of the picture, 0 to 1.
    """

    number: int
    name: str
    box_xyxy_px: tuple[float, float, float, float]
    area_px: float
    occlusion: float
    truncation: float

    @property
    def visible(self) -> float:
        """Share of the whole silhouette that can be seen."""
        return (1 - self.occlusion) * (1 - self.truncation)

    @property
    def clear(self) -> bool:
        """Whether enough can be seen to annotate it."""
        left, top, right, bottom = self.box_xyxy_px
        return self.visible >= LEAST_VISIBLE and min(right - left, bottom - top) >= LEAST_SIDE_PX


def make_scene(
    rng: Random, difficulty: Difficulty, size_px: tuple[int, int], classes: tuple[str, ...]
) -> tuple[Scene, Layer, list[SeenThing]]:
    """Lay out scenes until one keeps what its difficulty promises.

    Things of the asked classes of which too little can be seen are taken out of the scene, so that no
    picture shows one without annotation.

    Returns:
        The scene, its drawn things, and those that are annotated.

    Raises:
        RuntimeError: When no scene in a row of many keeps the promise.
    """
    for _ in range(_MOST_ATTEMPTS):
        scene = sample_scene(rng, difficulty, size_px, classes)
        layer = draw_things(scene)
        seen = see(scene, layer)
        while vague := {thing.number for thing in seen if not thing.clear}:
            scene.remove(vague)
            layer = draw_things(scene)
            seen = see(scene, layer)
        if keeps_promise(seen, difficulty, classes, scene.camera.height):
            return scene, layer, seen
    raise RuntimeError(f"no {difficulty} scene of {', '.join(classes)} in {_MOST_ATTEMPTS} attempts")


def see(scene: Scene, layer: Layer) -> list[SeenThing]:
    """Measure every labelled thing of which at least a part of a pixel can be seen."""
    owners = np.asarray(layer.owners)
    height, width = owners.shape
    outlines: dict[int, list[list[int]]] = {}
    for polygon in layer.polygons:
        if scene.things[polygon.owner].labelled:
            outlines.setdefault(polygon.owner, []).append(polygon.corners)
    measured = (_measure(scene, number, owners, polygons) for number, polygons in sorted(outlines.items()))
    return [thing for thing in measured if thing is not None]


def _measure(scene: Scene, number: int, owners: np.ndarray, polygons: list[list[int]]) -> SeenThing | None:
    """Measure one thing: in the mask what can be seen of it, in its own polygons what there is of it."""
    height, width = owners.shape
    left, top = min(min(p[::2]) for p in polygons), min(min(p[1::2]) for p in polygons)
    right, bottom = max(max(p[::2]) for p in polygons) + 1, max(max(p[1::2]) for p in polygons) + 1
    x, y = max(left, 0), max(top, 0)
    mask = owners[y : max(bottom, 0), x : max(right, 0)] == number + 1
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    shown = (x, y, min(right, width), min(bottom, height))
    visible, inside = int(mask.sum()), _area(_drawn(polygons, 0, 0, width, height).crop(shown))
    cut = shown != (left, top, right, bottom)
    whole = _area(_drawn(polygons, left, top, right - left, bottom - top)) if cut else inside
    return SeenThing(
        number=number,
        name=scene.things[number].name,
        box_xyxy_px=(
            (x + int(columns[0])) / OVERSAMPLING,
            (y + int(rows[0])) / OVERSAMPLING,
            (x + int(columns[-1]) + 1) / OVERSAMPLING,
            (y + int(rows[-1]) + 1) / OVERSAMPLING,
        ),
        area_px=visible / OVERSAMPLING**2,
        occlusion=1 - visible / inside,
        # Shifted polygons may round otherwise by a subpixel.
        truncation=max(1 - inside / whole, 0.0),
    )


def _drawn(polygons: list[list[int]], left: int, top: int, width: int, height: int) -> Image.Image:
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    for corners in polygons:
        draw.polygon([value - (top if index % 2 else left) for index, value in enumerate(corners)], fill=1)
    return canvas


def _area(canvas: Image.Image) -> int:
    return canvas.histogram()[1]


def keeps_promise(seen: list[SeenThing], difficulty: Difficulty, classes: tuple[str, ...], picture_height: int) -> bool:
    """Say whether what is seen in a picture is what its difficulty promises."""
    if difficulty == "empty":
        return not seen
    low, high = _CHAIR_HEIGHT[difficulty]
    for thing in seen:
        share = (thing.box_xyxy_px[3] - thing.box_xyxy_px[1]) / picture_height
        if thing.name == "chair" and not low <= share <= high:
            return False
    if difficulty == "simple":
        return len(seen) == 1 and seen[0].occlusion == 0 and seen[0].truncation == 0
    least, most = CROWD_OF_ONE_CLASS if len(classes) == 1 else CROWD_OF_CLASSES
    return least <= len(seen) <= most
