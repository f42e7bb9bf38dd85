"""Brings the images of a set into a folder, many at a time; those that are there whole are left alone."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cascade_exit.data.coco_subset.fetch import BrokenFile, Fetcher, Stopped
from cascade_exit.data.images import read_image
from cascade_exit.runs.errors import UserError

# Of the images of COCO: 19.3 GB for the 118,287 of train2017.
MEAN_IMAGE_BYTES = 165_000

# The server is down, or the network is: the remaining thousands would fail as these did.
_HOPELESS_IN_A_ROW = 50
_PATIENCE_AT_END_S = 2.0


@dataclass(frozen=True)
class WantedImage:
    """An image that should be there.

    Args:
        image_id: Its id.
        path: Where.
        url: Its address; None: it has none.
        size: Height and width that it must have.
    """

    image_id: int
    path: Path
    url: str | None
    size: tuple[int, int]

    def check(self, path: Path) -> None:
        """Verifies that a file is this image, to its last pixel.

        Raises:
            BrokenFile: It cannot be decoded, or has another size.
        """
        try:
            read_image(path, self.size)
        except UserError as error:
            raise BrokenFile(str(error).removeprefix(f"{path}: ")) from error

    def bring(self, fetcher: Fetcher) -> None:
        """Fetches the image unless it is there whole.

        Raises:
            UserError: It cannot be fetched.
            Stopped: The fetcher was told to stop.
        """
        try:
            self.check(self.path)
        except BrokenFile:
            if self.url is None:
                raise UserError(f"{self.path}: is missing or broken, and the annotations name no coco_url") from None
            fetcher.fetch(self.url, self.path, self.check)


def broken_images(wanted: Sequence[WantedImage], parallel: int, advance: Callable[[], object]) -> list[str]:
    """Looks at images that are there, to their last pixel; a line for each that is broken, in their order."""

    def look(image: WantedImage) -> str | None:
        try:
            image.check(image.path)
        except BrokenFile as error:
            return f"{image.path} ({error})"
        finally:
            advance()
        return None

    with ThreadPoolExecutor(parallel) as pool:
        return [line for line in pool.map(look, wanted) if line is not None]


def bring_images(
    wanted: Sequence[WantedImage], fetcher: Fetcher, parallel: int, advance: Callable[[], object]
) -> list[str]:
    """Brings images with several threads, and stops them whatever ends it.

    Args:
        wanted: The images.
        fetcher: Fetches what is missing.
        parallel: Number of threads.
        advance: Called once per image that was dealt with.

    Returns:
        What went wrong, a line per image that could not be brought, in the order of ids.
    """
    todo: queue.SimpleQueue[WantedImage] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[WantedImage, Exception | None]] = queue.SimpleQueue()
    for image in wanted:
        todo.put(image)
    # Not a pool of the standard library: it would wait for a server that is silent before Ctrl-C could end anything.
    threads = [threading.Thread(target=_work, args=(todo, done, fetcher), daemon=True) for _ in range(parallel)]
    try:
        for thread in threads:
            thread.start()
        return _collect(len(wanted), done, advance)
    finally:
        fetcher.stop()
        for thread in threads:
            thread.join(_PATIENCE_AT_END_S / parallel)


def _work(
    todo: "queue.SimpleQueue[WantedImage]",
    done: "queue.SimpleQueue[tuple[WantedImage, Exception | None]]",
    fetcher: Fetcher,
) -> None:
    while True:
        try:
            image = todo.get_nowait()
            image.bring(fetcher)
            done.put((image, None))
        except (queue.Empty, Stopped):
            return
        except Exception as error:
            done.put((image, error))


def _collect(
    count: int, done: "queue.SimpleQueue[tuple[WantedImage, Exception | None]]", advance: Callable[[], object]
) -> list[str]:
    problems: dict[int, str] = {}
    in_a_row = 0
    for _ in range(count):
        image, error = done.get()
        if error is not None and not isinstance(error, UserError):
            raise error
        in_a_row = 0 if error is None else in_a_row + 1
        if error is not None:
            problems[image.image_id] = f"image id {image.image_id}: {error}"
        if in_a_row >= _HOPELESS_IN_A_ROW:
            break
        advance()
    return [problems[key] for key in sorted(problems)]
