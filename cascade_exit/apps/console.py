"""Where apps talk to people: stderr, so that stdout holds the run folder alone."""

import sys

from rich.console import Console

# Tables of figures need more than the 80 columns that rich assumes of a file or pipe.
FILE_WIDTH = 140


def people() -> Console:
    """A console on stderr that never breaks a path."""
    return Console(stderr=True, soft_wrap=True, width=None if sys.stderr.isatty() else FILE_WIDTH)
