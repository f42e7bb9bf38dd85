"""Looks at every image before the long work starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from rich.console import Console
from rich.progress import track

from cascade_exit.data.images import check_header
from cascade_exit.data.problems import refuse
from cascade_exit.data.record import ImageRecord
from cascade_exit.data.store import ImageStore, require_memory
from cascade_exit.runs.errors import UserError

CheckDepth = Literal["decode", "header"]


def check_images(
    records: Sequence[ImageRecord],
    store: ImageStore,
    depth: CheckDepth = "decode",
    workers: int = 1,
    progress: bool = False,
) -> None:
    """Verifies that every image can be decoded and has the annotated size, and fills a caching store on the way.

    Args:
        records: The images.
        store: What later reads them; a caching store decodes whatever the depth, so that nothing is decoded twice.
        depth: ``decode`` finds truncated files, ``header`` only compares sizes and is far faster.
        workers: Number of threads.
        progress: Show a progress bar on standard error.

    Raises:
        UserError: An image is missing, broken or of another size; the line names the first one's file and id and says
            how many more there are.
    """
    if store.cache:
        require_memory(records)
    examine = _decode(store) if store.cache or depth == "decode" else _header
    with ThreadPoolExecutor(max(1, workers)) as pool:
        findings = track(
            pool.map(examine, records),
            description="Checking images",
            total=len(records),
            console=Console(stderr=True),
            disable=not progress,
        )
        problems = [finding for finding in findings if finding]
    refuse(problems, "image(s)")


def _decode(store: ImageStore) -> Callable[[ImageRecord], str | None]:
    def examine(record: ImageRecord) -> str | None:
        return _finding(record, lambda: store.read(record))

    return examine


def _header(record: ImageRecord) -> str | None:
    return _finding(record, lambda: check_header(record.path, (record.height, record.width)))


def _finding(record: ImageRecord, look: Callable[[], object]) -> str | None:
    try:
        look()
    except UserError as error:
        return f"image id {record.image_id}, {error}"
    return None
