"""Opens the data of each role, and nothing that a role does not need."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cascade_exit.data.check import check_images
from cascade_exit.data.coco_set import read_coco
from cascade_exit.data.coco_subset import build_subset
from cascade_exit.data.config import DataConfig
from cascade_exit.data.randomness import unit_hash
from cascade_exit.data.record import CocoSet, ImageRecord, join_sets
from cascade_exit.data.roles import ROLES, UNSEEN, Measurable, Role, role_of
from cascade_exit.data.rooms import generate_rooms
from cascade_exit.data.store import ImageStore
from cascade_exit.runs.errors import UserError


def build_data(config: DataConfig, progress: bool = False) -> DataConfig:
    """Makes a set that is made at first use, for who reads its roles one by one.

    Args:
        config: Which data.
        progress: Show what is being done on standard error.

    Returns:
        The same data, with nothing left to do; sets that are only read come back as they are.

    Raises:
        UserError: It cannot be made.
    """
    if config.name == "coco_subset":
        _root(config, progress)
    return replace(config, build=False)


def load_role(config: DataConfig, role: Measurable, progress: bool = False) -> CocoSet:
    """Reads the set of one role; the files of other roles may be missing.

    Args:
        config: Which data.
        role: Which part of it; ``unseen`` joins calibrate and test.
        progress: Show a progress bar while a set is made.

    Returns:
        The role's images.

    Raises:
        UserError: The role has no files or no images, or its files are faulty.
    """
    if role == "unseen":
        return join_sets(tuple(load_roles(config, UNSEEN, progress).values()))
    return load_roles(config, (role,), progress)[role]


def load_roles(config: DataConfig, roles: Sequence[Role] = ROLES, progress: bool = False) -> dict[Role, CocoSet]:
    """Reads the sets of several roles, each file once.

    Args:
        config: Which data.
        roles: Which parts of it.
        progress: Show a progress bar while a set is made.

    Returns:
        The images of each role.

    Raises:
        UserError: A role has no files or no images, or its files are faulty.
    """
    root = _root(config, progress)
    read: dict[tuple[str, str], CocoSet] = {}
    sets: dict[Role, CocoSet] = {}
    for role in roles:
        files = _files(config, role)
        if files not in read:
            read[files] = read_coco(root / files[0], root / files[1], config.class_map)
        sets[role] = _part(read[files], config, role)
    return sets


def open_images(sets: Iterable[CocoSet], config: DataConfig, progress: bool = False) -> ImageStore:
    """Verifies every image of some sets, once, and gives the store to read them from.

    Args:
        sets: The sets that will be used.
        config: Whether to cache, and how thoroughly to verify.
        progress: Show a progress bar on standard error.

    Returns:
        The store, filled if it caches.

    Raises:
        UserError: An image is missing, broken or not of the annotated size.
    """
    store = ImageStore(config.cache)
    records = {record.path: record for coco_set in sets for record in coco_set.records}
    try:
        check_images(list(records.values()), store, config.check, max(1, config.workers), progress)
    except UserError as error:
        if config.name == "coco_subset":
            raise UserError(f"{error}; data.build=true fetches what is missing or broken") from error
        raise
    return store


def _root(config: DataConfig, progress: bool) -> Path:
    if not config.root:
        raise UserError("data.root is not set: give the folder of the data set as data.root=FOLDER")
    root = Path(config.root).expanduser()
    if config.name == "rooms" and config.rooms is not None:
        return generate_rooms(root, config.rooms, workers=max(1, config.workers), progress=progress)
    if config.name == "coco_subset" and config.subset is not None:
        return build_subset(root, config.subset, verify=config.build, progress=progress)
    if not root.is_dir():
        raise UserError(f"data.root={root}: folder does not exist")
    return root


def _files(config: DataConfig, role: Role) -> tuple[str, str]:
    files = config.files(role)
    if files is None and role in ("val", "calibrate"):
        files = config.files("train")
    if files is None:
        wanted = "train" if role in ("val", "calibrate") else role
        raise UserError(
            f"data.{wanted} is not set, so there is no {role} role: give data.{wanted}.annotations=FILE"
            f" and data.{wanted}.images=FOLDER"
        )
    return files


def _part(coco_set: CocoSet, config: DataConfig, role: Role) -> CocoSet:
    """The role's share of a file."""
    if role == "train" or config.files(role) is None:
        # Groups of a role that has files of its own stay in train.
        coco_set = coco_set.keep(lambda record: _role_in_training_file(record, config) == role)
    if role == "train":
        coco_set = coco_set.keep(lambda record: _kept_for_training(record, config.negatives))
        if not any(len(record.labels) for record in coco_set.records):
            raise UserError(
                f"{coco_set.annotations}: the train role has no image with a box of {', '.join(config.classes)}"
            )
    if not coco_set.records:
        raise UserError(
            f"{coco_set.annotations}: no image falls to the {role} role: raise data.split.{role}, or give"
            f" data.{role}.annotations=FILE"
        )
    return coco_set


def _role_in_training_file(record: ImageRecord, config: DataConfig) -> Role:
    role = role_of(record.group, config.split)
    return role if config.files(role) is None else "train"


def _kept_for_training(record: ImageRecord, negatives: float) -> bool:
    return len(record.labels) > 0 or unit_hash("negatives", record.image_id) < negatives
