"""What a set made from COCO consists of, and how it is fetched."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.roles import ROLES, Role
from cascade_exit.runs.identity import not_identity

ANNOTATIONS_URL = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"

# Of the archive at that address, 252,907,541 bytes, as several public data set libraries have it on record.
ANNOTATIONS_SHA256 = "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"

PARTS: dict[str, tuple[Role, Role]] = {"train2017": ("train", "val"), "val2017": ("calibrate", "test")}
"""The parts of COCO and the two roles that each feeds.

Weights that were trained on COCO have seen train2017. So the figures come from val2017 alone, and so do thresholds and
certificates, which must hold for images like those of the figures.
"""


@dataclass(frozen=True)
class RoleShares:
    """Shares of the four roles; they must add up to 1."""

    train: float = 0.78
    val: float = 0.08
    calibrate: float = 0.07
    test: float = 0.07

    def __post_init__(self) -> None:
        shares = [self.of(role) for role in ROLES]
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"shares must be four shares from 0 that add up to 1, got {shares}")
        if self.train == 0:
            raise ValueError("train must be above 0")

    def of(self, role: Role) -> float:
        """The share of a role."""
        return float(getattr(self, role))

    def of_part(self, part: str) -> float:
        """The share that comes from a part of COCO."""
        return sum(self.of(role) for role in PARTS[part])


@dataclass(frozen=True)
class DownloadConfig:
    """How files are fetched.

    Args:
        annotations_url: Archive that holds ``annotations/instances_{train,val}2017.json``.
        annotations_sha256: Its checksum; None: the one on record for COCO's own address, for another one its length and
            the checksums inside it are what is verified.
        parallel: Images fetched at a time.
        attempts: Tries of a file, one after the other, that bring nothing.
        timeout_s: Seconds without an answer, or nearly without, that end a try.

    Raises:
        ValueError: A number is out of range, or the address or the checksum is none.
    """

    annotations_url: str = ANNOTATIONS_URL
    annotations_sha256: str | None = None
    parallel: int = 16
    attempts: int = 6
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not re.match(r"https?://", self.annotations_url):
            raise ValueError(f"annotations_url must start with http:// or https://, got {self.annotations_url!r}")
        if self.annotations_sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.annotations_sha256):
            raise ValueError(f"annotations_sha256 must be 64 hexadecimal digits, got {self.annotations_sha256!r}")
        if not 1 <= self.parallel <= 64:
            raise ValueError(f"parallel must be from 1 to 64, got {self.parallel}")
        if not 1 <= self.attempts <= 100:
            raise ValueError(f"attempts must be from 1 to 100, got {self.attempts}")
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(f"timeout_s must be above 0 and at most 3600, got {self.timeout_s}")

    @property
    def known_sha256(self) -> str | None:
        """The archive's checksum, where one is known."""
        recorded = ANNOTATIONS_SHA256 if self.annotations_url == ANNOTATIONS_URL else None
        return self.annotations_sha256 or recorded


@dataclass(frozen=True)
class SubsetConfig:
    """Images of COCO 2017 that hold some classes, and images that hold none of them.

    Where the images lie and how they come there is no part of a run's identity.

    Args:
        classes: COCO's names of the classes.
        images_per_class: Images that hold each class, over all roles; common companions such as persons get more.
        negatives: Share of the set's images that hold none of the classes.
        shares: How large the roles are.
        salt: Another text chooses other images.
        coco_root: Folder with ``train2017/``, ``val2017/`` and ``annotations/``, used in place and never written to;
            None: what is needed is fetched into ``downloads``.
        downloads: Folder of the same form, shared by all sets that are made from COCO.
        download: How files are fetched.

    Raises:
        ValueError: A number is out of range, or a class is named twice.
    """

    classes: tuple[str, ...]
    images_per_class: int = 1000
    negatives: float = 0.2
    shares: RoleShares = field(default_factory=RoleShares)
    salt: str = "coco2017"
    coco_root: str | None = not_identity(None)
    downloads: str = not_identity("data/coco2017")
    download: DownloadConfig = not_identity(default_factory=DownloadConfig)

    def __post_init__(self) -> None:
        ClassMap(self.classes)
        if self.images_per_class < 1:
            raise ValueError(f"images_per_class must be at least 1, got {self.images_per_class}")
        if not 0 <= self.negatives < 1:
            raise ValueError(f"negatives must be in [0, 1), got {self.negatives}")

    @property
    def images(self) -> Path:
        """The folder with ``train2017/`` and ``val2017/``, as an absolute path."""
        return Path(self.coco_root or self.downloads).expanduser().absolute()
