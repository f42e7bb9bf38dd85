"""Small cascades exported once for all tests."""

import tempfile
from functools import cache
from pathlib import Path

from cascade_exit.runtime import Detector
from cascade_exit.runtime.exporting import export_detector
from cascade_exit.runtime.network import Backend
from tests.runtime.cascades import MODEL, checkpoint

BACKENDS: tuple[Backend, ...] = ("onnxruntime", "openvino")
# Removed when the tests end.
_FOLDER = tempfile.TemporaryDirectory(prefix="exported-")


@cache
def exported(name: str) -> Path:
    """Folder of an exported cascade (see `tests.model.networks`)."""
    folder = Path(_FOLDER.name) / name
    folder.mkdir()
    export_detector(Detector(checkpoint(name)), folder, name, MODEL)
    return folder
