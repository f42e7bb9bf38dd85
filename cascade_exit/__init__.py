"""Object detectors that stop early on easy images: train, measure and ship early-exit cascades.

import cascade_exit

detector = cascade_exit.load("models/static_chair")
boxes, scores, labels = detector("photo.jpg")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade_exit.runtime.loading import load

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Lazy: torch takes seconds to import, and the command line's help does not need it.
    if name == "load":
        from cascade_exit.runtime.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
