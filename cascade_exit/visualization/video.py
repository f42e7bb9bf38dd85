"""Pictures as the frames of a video file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from cascade_exit.data import require_av
from cascade_exit.runs import UserError, atomic_path


@contextmanager
def write_video(path: Path, rate: Fraction) -> Iterator[Callable[[Image.Image], None]]:
    """Writes an MP4 (H.264) that stands under its name when the block has ended.

    Args:
        path: The file.
        rate: Frames per second.

    Yields:
        A function that adds a picture; the first one decides the size.

    Raises:
        UserError: PyAV is not installed, or no picture was added.
    """
    av = require_av()
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        size: tuple[int, int] | None = None

        def add(picture: Image.Image) -> None:
            nonlocal size
            if size is None:
                # Colour is kept for two by two pixels: sides must be even.
                size = stream.width, stream.height = picture.width // 2 * 2, picture.height // 2 * 2
            container.mux(stream.encode(av.VideoFrame.from_image(picture.crop((0, 0, *size)))))

        yield add
        if size is None:
            raise UserError(f"{path.name}: no frame to write")
        container.mux(stream.encode())
