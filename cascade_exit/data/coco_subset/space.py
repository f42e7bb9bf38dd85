"""Whether there is room on the disk, before anything is fetched."""

import shutil
from pathlib import Path

from cascade_exit.runs.errors import UserError


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuses to begin what the disk cannot hold.

    Args:
        folder: Where it goes; it exists.
        needed_bytes: Its size.
        what: Its name.

    Raises:
        UserError: The disk has less room.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise UserError(
            f"{folder}: {what} needs {needed_bytes / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB left: make room,"
            " or choose another folder with data.subset.downloads=FOLDER"
        )
