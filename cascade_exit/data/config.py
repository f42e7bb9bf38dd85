"""Which data a run uses."""

from dataclasses import dataclass, field
from typing import Literal

from cascade_exit.data.check import CheckDepth
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.coco_subset.config import SubsetConfig
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
    """A COCO-format set, the generated rooms, or a set made from COCO itself.

    Args:
        name: ``coco`` reads files; ``rooms`` generates them into ``root`` when they are not there yet, ``coco_subset``
            chooses and fetches them.
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
        subset: What is chosen when ``name`` is ``coco_subset``.
        build: Look at every image of a ``coco_subset``, and fetch anew what is missing or broken.

    Raises:
        ValueError: A number is out of range, a class is named twice, or what ``name`` asks for is not described.
    """

    name: Literal["coco", "rooms", "coco_subset"] = "coco"
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
    # The fingerprint of what was chosen identifies it.
    subset: SubsetConfig | None = not_identity(None)
    build: bool = not_identity(False)

    def __post_init__(self) -> None:
        ClassMap(self.classes)
        if not 0 <= self.negatives <= 1:
            raise ValueError(f"negatives must be in [0, 1], got {self.negatives}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")
        if self.name == "rooms" and self.rooms is None:
            raise ValueError("rooms must be given when name is 'rooms', got none")
        if self.name == "coco_subset" and self.subset is None:
            raise ValueError("subset must be given when name is 'coco_subset', got none")
        if self.build and self.name != "coco_subset":
            raise ValueError(f"build must be false when name is {self.name!r}: there is nothing to fetch")

    @property
    def class_map(self) -> ClassMap:
        """What the labels of this data mean."""
        return ClassMap(self.classes)

    def files(self, role: Role) -> tuple[str, str] | None:
        """Annotation file and image folder of a role's own, as given or as a set that is made has them."""
        given: RoleFiles | None = getattr(self, role)
        if given is not None and given.annotations:
            return given.annotations, given.images
        if self.name == "coco_subset" and self.subset is not None:
            return f"annotations/{role}.json", str(self.subset.images)
        return (f"annotations/{role}.json", "images") if self.name == "rooms" else None
