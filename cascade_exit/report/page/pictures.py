"""Pictures of runs inside the page: smaller, and within a budget of bytes."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cascade_exit.report.page.source import ReportedRun

WIDTH_PX = 1200
QUALITY = 78
# The page stays below 10 MB: plotly.js takes 5, and base64 needs four characters for three bytes.
BUDGET_BYTES = 3_300_000


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes:
        name: of its file.
        uri: `data:` address that holds it.
        size_px: width and height.
        runs: that have this very picture.
    """

    name: str
    uri: str
    size_px: tuple[int, int]
    runs: tuple[ReportedRun, ...]


def collect_pictures(runs: Sequence[ReportedRun], most: int) -> tuple[list[Picture], int]:
    """Pictures of all runs, the first of each before the second of any, and how many did not fit.

    Args:
        runs: whose pictures.
        most: of one run.
    """
    found: dict[str, Picture] = {}
    bytes_left, left_out = BUDGET_BYTES, 0
    of_runs = [[(run, path) for path in run.pictures[:most]] for run in runs]
    for run, path in (pair for rank in zip_longest(*of_runs) for pair in rank if pair):
        original = path.read_bytes()
        digest = hashlib.sha256(original).hexdigest()
        if digest in found:
            found[digest] = replace(found[digest], runs=(*found[digest].runs, run))
            continue
        small = _smaller(path)
        if small is None or len(small[0]) > bytes_left:
            left_out += 1
            continue
        encoded, size_px = small
        bytes_left -= len(encoded)
        uri = f"data:image/webp;base64,{base64.b64encode(encoded).decode()}"
        found[digest] = Picture(path.stem, uri, size_px, (run,))
    order = {run.id: place for place, run in enumerate(runs)}
    return sorted(found.values(), key=lambda picture: order[picture.runs[0].id]), left_out


def _smaller(path: Path) -> tuple[bytes, tuple[int, int]] | None:
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    if picture.width > WIDTH_PX:
        picture = picture.resize((WIDTH_PX, round(picture.height * WIDTH_PX / picture.width)), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY)
    return written.getvalue(), picture.size
