"""COCO's annotation files, out of the archive that they are published in."""

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from cascade_exit.data.annotation_file import read_annotation_file
from cascade_exit.data.coco_subset.config import PARTS, DownloadConfig
from cascade_exit.data.coco_subset.fetch import BrokenFile, Fetcher
from cascade_exit.data.coco_subset.space import require_space
from cascade_exit.runs.atomic import atomic_path
from cascade_exit.runs.errors import UserError

# The archive, and the two instance files that come out of it.
ANNOTATIONS_BYTES = 252_907_541 + 469_000_000
_BLOCK_BYTES = 1 << 20


def instance_file(folder: Path, part: str) -> Path:
    """Where a COCO folder has the objects of a part."""
    return folder / "annotations" / f"instances_{part}.json"


def archive_file(folder: Path, config: DownloadConfig) -> Path:
    """Where a COCO folder has the archive until it is unpacked."""
    return folder / "annotations" / Path(config.annotations_url).name


def has_instances(folder: Path, readable: bool) -> bool:
    """Whether a COCO folder has both instance files, and, where that is asked, whether they can be read."""
    files = [instance_file(folder, part) for part in PARTS]
    if not all(file.is_file() for file in files):
        return False
    try:
        return not readable or all(read_annotation_file(file, without="segmentation") for file in files)
    except UserError:
        return False


def fetch_instances(
    folder: Path, config: DownloadConfig, fetcher: Fetcher, report: Callable[[int, int | None], object]
) -> None:
    """Brings the two instance files into a COCO folder, with the archive beside them.

    Args:
        folder: The COCO folder.
        config: The archive's address, and its checksum where it is known.
        fetcher: Fetches it.
        report: Told the bytes of the archive that are there and those of all of it.

    Raises:
        UserError: The archive cannot be fetched, is not what it should be, or there is no room for it.
    """
    archive = archive_file(folder, config)
    archive.parent.mkdir(parents=True, exist_ok=True)
    fetcher.fetch(config.annotations_url, archive, lambda path: _unpack(path, folder, config), report)


def _unpack(archive: Path, folder: Path, config: DownloadConfig) -> None:
    """Writes the two members to names of our own, whatever else the archive holds; their checksums are verified."""
    if config.known_sha256 is not None:
        found = _sha256(archive)
        if found != config.known_sha256:
            raise BrokenFile(f"SHA-256 is {found}, expected {config.known_sha256}")
    try:
        with zipfile.ZipFile(archive) as held:
            members = {part: held.getinfo(f"annotations/instances_{part}.json") for part in PARTS}
            require_space(folder, sum(member.file_size for member in members.values()), "unpacking annotations")
            for part, member in members.items():
                with (
                    atomic_path(instance_file(folder, part)) as path,
                    held.open(member) as packed,
                    path.open("wb") as out,
                ):
                    shutil.copyfileobj(packed, out, _BLOCK_BYTES)
    except KeyError as error:
        raise BrokenFile(f"is not COCO's archive of annotations: {error.args[0]}") from error
    # RuntimeError: encrypted; NotImplementedError: an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise BrokenFile(f"is a broken archive ({error})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
