"""Decodes image files to RGB, always to the same pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from cascade_exit.runs.errors import UserError

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = (5, 6, 7, 8)


def read_image(path: Path, annotated_size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a JPEG, PNG, WebP or any other file that Pillow reads.

    Grey, palette and CMYK become RGB, 16-bit grey is reduced to 8 bits, transparency is laid over white, and of an
    animation the first frame is taken. An EXIF orientation is applied, as browsers and labelling tools do, unless only
    the file as stored has the annotated size: then the boxes were drawn on the stored pixels.

    Args:
        path: The image file.
        annotated_size: Height and width in the annotation; None if there is none.

    Returns:
        RGB, of the annotated size.

    Raises:
        UserError: The file is missing, empty, broken or no image, or its size is not the annotated one.
    """
    with _opened(path) as image:
        upright = _upright(image, annotated_size)
        image.load()
        rgb = _to_rgb(image)
        return np.array(rgb if upright is None else rgb.transpose(upright))


def check_header(path: Path, annotated_size: tuple[int, int] | None = None) -> None:
    """Compares an image file's size with the annotated one without decoding the pixels.

    Raises:
        UserError: The file is missing, empty or no image, or its size is not the annotated one.
    """
    with _opened(path) as image:
        # Pillow decodes a whole PNG to find its EXIF: do not ask for what is not needed.
        if annotated_size != (image.height, image.width):
            _upright(image, annotated_size)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: file does not exist") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        raise UserError(f"{path}: {'file is empty' if empty else 'not an image that can be read'}") from error
    # Pillow's decoders raise whatever comes first on damaged bytes: OSError, SyntaxError, struct.error, IndexError …
    except Exception as error:
        raise UserError(f"{path}: cannot be decoded ({error})") from error


def _upright(image: Image.Image, annotated_size: tuple[int, int] | None) -> Image.Transpose | None:
    """The turn that brings the stored pixels to the orientation that was annotated."""
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    stored = (image.height, image.width)
    displayed = stored[::-1] if orientation in _QUARTER_TURNS else stored
    if annotated_size is None or annotated_size == displayed:
        return _UPRIGHT.get(orientation)
    if annotated_size == stored:
        return None
    raise UserError(
        f"is {displayed[1]}x{displayed[0]} pixels, but the annotation says {annotated_size[1]}x{annotated_size[0]}"
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        overlay = image.convert("RGBA")
        page = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(page, overlay).convert("RGB")
    return image.convert("RGB")
