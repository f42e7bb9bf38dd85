"""Which data a run uses."""

from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.data.check import CheckDepth
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.roles import Role, SplitConfig
from cascade_exit.data.rooms.config import RoomsConfig
from cascade_exit.runs.identity import not_identity


@dataclass(frozen=True)
class RoleFiles:
    """Where the data of one role lies, as paths from the set's root.

    Both are left out of a run's identity: the fingerprint of what they hold is in it.

    Args:
        annotations: COCO annotation file; None if the role has no files of its own.
        images: Folder that the file's image names start from.
    """

    annotations: str | None = not_identity(None)
    images: str = not_identity("images")


@dataclass(frozen=True)
class DataConfig:
    """A COCO-format set, or the generated rooms.

    Args:
        name: ``coco`` reads files; ``rooms`` generates them into ``root`` when they are not there yet.
        root: Folder of the set.
        classes: Category names, in label order.
        train: Training files; cut by group into train and whichever of val and calibrate has no files of its own.
        val: Files for the choice of the checkpoint.
        calibrate: Files for tuning policies.
        test: Files for the reported figures.
        split: How the training files are cut.
        negatives: Share of the training images without objects that is kept.
        cache: Keep decoded images in memory.
        workers: Number of loading processes.
        check: How thoroughly images are verified before the work starts: ``decode`` all or read only each ``header``.
        rooms: What is generated when ``name`` is ``rooms``.

    Raises:
        ValueError: A number is out of range, a class is named twice, or rooms are asked for and not described.
    """

    name: Literal["coco", "rooms"] = "coco"
    root: str | None = not_identity(None)
    classes: tuple[str, ...] = ("chair",)
    train: RoleFiles | None = None
    val: RoleFiles | None = None
    calibrate: RoleFiles | None = None
    test: RoleFiles | None = None
    split: SplitConfig = field(default_factory=SplitConfig)
    negatives: float = 1.0
    cache: bool = not_identity(False)
    workers: int = not_identity(0)
    check: CheckDepth = not_identity("decode")
    rooms: RoomsConfig | None = None

    def __post_init__(self) -> None:
        ClassMap(self.classes)
        if not 0 <= self.negatives <= 1:
            raise ValueError(f"negatives must be in [0, 1], got {self.negatives}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")
        if self.name == "rooms" and self.rooms is None:
            raise ValueError("rooms must be given when name is 'rooms', got none")

    @property
    def class_map(self) -> ClassMap:
        """What the labels of this data mean."""
        return ClassMap(self.classes)

    def files(self, role: Role) -> tuple[str, str] | None:
        """Annotation file and image folder of a role's own, as given or as the generated rooms have them."""
        given: RoleFiles | None = getattr(self, role)
        if given is not None and given.annotations:
            return given.annotations, given.images
        return (f"annotations/{role}.json", "images") if self.name == "rooms" else None
