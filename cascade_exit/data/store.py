"""Where decoded images come from: the file, or memory after the first time."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cascade_exit.data.images import read_image
from cascade_exit.data.record import ImageRecord
from cascade_exit.runs.errors import UserError

_MEMORY_SHARE = 0.8


class ImageStore:
    """Decodes the images of records, and keeps them in memory when asked to.

    Filled before a DataLoader forks its workers, the memory is shared by all of them.

    Args:
        cache: Keep every decoded image.
    """

    def __init__(self, cache: bool = False) -> None:
        self.cache = cache
        self._images: dict[Path, UInt8[np.ndarray, "height width 3"]] = {}

    def read(self, record: ImageRecord) -> UInt8[np.ndarray, "height width 3"]:
        """The image's RGB pixels, not to be written to.

        Raises:
            UserError: The file is missing, broken or not of the annotated size.
        """
        image = self._images.get(record.path)
        if image is None:
            image = read_image(record.path, (record.height, record.width))
            image.setflags(write=False)
            if self.cache:
                self._images[record.path] = image
        return image


def require_memory(records: Iterable[ImageRecord]) -> None:
    """Refuses to cache more than the machine can hold.

    Raises:
        UserError: The decoded images need more than most of the physical memory.
    """
    needed = sum(record.width * record.height * 3 for record in records)
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > _MEMORY_SHARE * present:
        raise UserError(
            f"data.cache=true needs {needed / 1e9:.1f} GB for the decoded images and this machine has"
            f" {present / 1e9:.1f} GB: set data.cache=false"
        )
