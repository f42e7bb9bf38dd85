"""Images of one role that look like an image of another."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool
from rich.console import Console
from rich.progress import track

from cascade_exit.data.image_hash import HASH_BITS, perceptual_hash
from cascade_exit.data.record import CocoSet, ImageRecord
from cascade_exit.data.roles import Role
from cascade_exit.data.store import ImageStore
from cascade_exit.runs.errors import UserError

# Copies made smaller, darker, brighter or recompressed differ in at most 8 bits for 99 % of them, different photos
# of 8,148 in at least 10: see "Thirteen classes: the data" in docs/RESULTS.md.
NEAR_BITS = 8
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that look alike.

    Attributes:
        roles: of the two.
        records: the two images.
        bits: in which their hashes differ.
    """

    roles: tuple[Role, Role]
    records: tuple[ImageRecord, ImageRecord]
    bits: int

    @property
    def same_group(self) -> bool:
        """Whether the annotations say themselves that they belong together; an image's own id is no group."""
        first, second = self.records
        return first.group == second.group != str(first.image_id)


@dataclass(frozen=True)
class HashedRole:
    """The images of a role that can be compared.

    Attributes:
        records: those that could be read and show something.
        hashes: of each.
        plain: number of images of one colour.
        unreadable: what is wrong with those that could not be read.
    """

    records: tuple[ImageRecord, ...]
    hashes: Bool[np.ndarray, "image bit"]
    plain: int
    unreadable: tuple[str, ...]


def hash_roles(sets: Mapping[Role, CocoSet], workers: int = 1, progress: bool = False) -> dict[Role, HashedRole]:
    """Decodes every image once.

    Args:
        sets: by role.
        workers: number of threads.
        progress: show a progress bar on standard error.
    """
    store = ImageStore()

    def hashed(record: ImageRecord) -> Bool[np.ndarray, " bit"] | str | None:
        try:
            return perceptual_hash(store.read(record))
        except UserError as error:
            return str(error)

    records = [record for images in sets.values() for record in images.records]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = iter(
            track(
                pool.map(hashed, records),
                description="Comparing images",
                total=len(records),
                console=Console(stderr=True),
                disable=not progress,
            )
        )
        return {
            role: _hashed_role(images.records, [next(found) for _ in images.records]) for role, images in sets.items()
        }


def _hashed_role(records: Sequence[ImageRecord], found: Sequence[np.ndarray | str | None]) -> HashedRole:
    pairs = [(record, bits) for record, bits in zip(records, found, strict=True) if isinstance(bits, np.ndarray)]
    return HashedRole(
        records=tuple(record for record, _ in pairs),
        hashes=np.array([bits for _, bits in pairs], dtype=bool).reshape(-1, HASH_BITS),
        plain=sum(bits is None for bits in found),
        unreadable=tuple(bits for bits in found if isinstance(bits, str)),
    )


def find_near_duplicates(roles: Mapping[Role, HashedRole], most_bits: int = NEAR_BITS) -> list[NearDuplicate]:
    """Pairs of images of different roles whose hashes differ in few bits, the most alike first.

    Args:
        roles: hashes by role.
        most_bits: in which they may differ.
    """
    pairs = []
    for one, two in combinations(roles, 2):
        for first, second, bits in _near(roles[one].hashes, roles[two].hashes, most_bits):
            pairs.append(NearDuplicate((one, two), (roles[one].records[first], roles[two].records[second]), bits))
    return sorted(pairs, key=lambda pair: pair.bits)


def _near(
    first: Bool[np.ndarray, "one bit"], second: Bool[np.ndarray, "two bit"], most_bits: int
) -> list[tuple[int, int, int]]:
    """Rows of both and the number of bits in which they differ."""
    # With bits as -1 and 1 the number of equal bits less that of unequal ones is a product of matrices.
    signs_one, signs_two = (np.where(hashes, 1, -1).astype(np.float32) for hashes in (first, second))
    found = []
    for start in range(0, len(first), _ROWS_AT_ONCE):
        bits = (HASH_BITS - signs_one[start : start + _ROWS_AT_ONCE] @ signs_two.T) / 2
        rows, columns = np.nonzero(bits <= most_bits)
        found += [(start + int(i), int(j), int(bits[i, j])) for i, j in zip(rows, columns, strict=True)]
    return found
