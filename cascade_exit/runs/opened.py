"""Word for those who wait until a run is open, as the further machines of a distributed run do."""

import os
from pathlib import Path

OPENED = "CASCADE_EXIT_OPENED"  # an environment variable: the path of a file that appears once the run is open


def tell_opened() -> None:
    """Make the file appear, if anybody waits for it."""
    if path := os.environ.get(OPENED):
        Path(path).touch()
