"""Frames of a video, read with PyAV, which is an optional extra."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cascade_exit.runs.errors import UserError

_RATE_WHERE_UNKNOWN = Fraction(25)


def require_av() -> ModuleType:
    """PyAV.

    Raises:
        UserError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV, which is not installed: pip install 'cascade_exit[video]'") from error
    return av


@dataclass(frozen=True)
class Video:
    """A video file with a stream of pictures.

    Args:
        path: The file.
        rate: Frames per second.
        count: Frames as the file's header counts them; None if it does not.
    """

    path: Path
    rate: Fraction
    count: int | None

    @classmethod
    def open(cls, path: Path) -> "Video":
        """Reads the header.

        Raises:
            UserError: PyAV is not installed, or the file is no video.
        """
        with _stream_of(path) as stream:
            return cls(path, Fraction(stream.average_rate or _RATE_WHERE_UNKNOWN), stream.frames or None)

    def frames(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """RGB of each frame in turn, turned upright as the camera noted.

        Raises:
            UserError: The file is damaged.
        """
        with _stream_of(self.path) as stream:
            for frame in stream.container.decode(stream):
                turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield np.ascontiguousarray(turned)


@contextmanager
def _stream_of(path: Path) -> Iterator[Any]:
    av = require_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path}: holds no pictures")
            yield container.streams.video[0]
    except av.FFmpegError as error:
        raise UserError(f"{path}: cannot be read as a video ({error.strerror})") from error
