"""From a scene to a picture, and to the mask that says which thing each pixel shows."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cascade_exit.data.rooms.background import paint_background
from cascade_exit.data.rooms.geometry import Polygon, scene_polygons
from cascade_exit.data.rooms.scene import Scene

OVERSAMPLING = 2
"""Things are drawn at this multiple of the picture's size and then averaged down."""

MOST_THINGS = 254


@dataclass(frozen=True)
class Layer:
    """The things of a scene, drawn at ``OVERSAMPLING`` times the size of the picture.

    Attributes:
        picture: RGB, black where no thing is.
        owners: Mode L; 0 where no thing is, else 1 + the number of the thing in the scene.
        polygons: What was drawn, in order.
    """

    picture: Image.Image
    owners: Image.Image
    polygons: list[Polygon]


def draw_things(scene: Scene) -> Layer:
    """Draw all things of a scene, back to front.

    Raises:
        ValueError: When the scene holds more things than a mask can number.
    """
    if len(scene.things) > MOST_THINGS:
        raise ValueError(f"a scene holds {MOST_THINGS} things at most, got {len(scene.things)}")
    size = (scene.camera.width * OVERSAMPLING, scene.camera.height * OVERSAMPLING)
    # The number of the thing travels as alpha: ImageDraw writes RGBA as it is, without mixing.
    canvas = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    polygons = scene_polygons(scene, OVERSAMPLING)
    for polygon in polygons:
        draw.polygon(polygon.corners, fill=(*polygon.colour, polygon.owner + 1))
    return Layer(canvas.convert("RGB"), canvas.getchannel("A"), polygons)


def compose(scene: Scene, layer: Layer) -> np.ndarray:
    """Lay the things over the room.

    Returns:
        ``[height, width, 3]`` float32 from 0 to 255, before exposure, blur and noise.
    """
    room = paint_background(scene)
    things = np.asarray(layer.picture.reduce(OVERSAMPLING), dtype=np.float32)
    covered = layer.owners.point([0] + [255] * 255).reduce(OVERSAMPLING)
    free = 1.0 - np.asarray(covered, dtype=np.float32)[..., None] / 255
    return np.asarray(room * free + things, dtype=np.float32)
