"""Makes a set from COCO: annotation files of four roles, and the images that they name.

Each step leaves its result under its final name only when it is whole, and a step whose result is there is not taken
again, so the same call goes on wherever the one before it was cut off. ``build.json`` says what the set is and, at the
very end, that it is finished.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cascade_exit.data.annotation_file import read_annotation_file
from cascade_exit.data.class_map import ClassMap
from cascade_exit.data.coco_set import read_coco
from cascade_exit.data.coco_subset.archive import (
    ANNOTATIONS_BYTES,
    archive_file,
    fetch_instances,
    has_instances,
    instance_file,
)
from cascade_exit.data.coco_subset.config import PARTS, SubsetConfig
from cascade_exit.data.coco_subset.fetch import Fetcher
from cascade_exit.data.coco_subset.images import MEAN_IMAGE_BYTES, WantedImage, bring_images, broken_images
from cascade_exit.data.coco_subset.parts import Part
from cascade_exit.data.coco_subset.record import RECORD, VERSION, is_finished, read_record
from cascade_exit.data.coco_subset.selection import choose, cut
from cascade_exit.data.coco_subset.space import require_space
from cascade_exit.data.roles import ROLES, Role
from cascade_exit.runs.atomic import atomic_write_json, atomic_write_text
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.identity import identity_of
from cascade_exit.runs.lock import hold_lock

_SHOWN_PROBLEMS = 5
# An image may count for several classes: the default set holds two thirds of what its classes would hold one by one.
_DISTINCT_SHARE = 0.65
_IN_PLACE = (
    "a folder that is used in place is never written to: complete it, or leave data.subset.coco_root out to have what "
    "is needed fetched"
)


def build_subset(root: Path, config: SubsetConfig, verify: bool = False, progress: bool = False) -> Path:
    """Makes the set that ``config`` describes, or finds it made.

    Args:
        root: Folder of the set: ``annotations/{train,val,calibrate,test}.json`` and ``build.json``.
        config: What it consists of.
        verify: Look at every image even if the set is finished, and fetch those that are missing or broken.
        progress: Show what is being done on standard error.

    Returns:
        ``root``.

    Raises:
        UserError: The folder holds something else, something cannot be fetched, there is no room for it, or an image is
            missing from a COCO folder that is used in place.
    """
    if not is_finished(root, config) or verify:
        root.mkdir(parents=True, exist_ok=True)
        with hold_lock(root, wait=True):
            if not is_finished(root, config) or verify:
                _Build(root, config, verify, progress).run()
    return root


class _Build:
    """One call's work on a set.

    Args:
        root: Folder of the set.
        config: What it consists of.
        verify: Believe nothing that is there without looking at it.
        progress: Show what is being done.
    """

    def __init__(self, root: Path, config: SubsetConfig, verify: bool, progress: bool) -> None:
        self._root, self._config, self._verify = root, config, verify
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, quiet=not progress)
        record = read_record(root)
        fresh = {"version": VERSION, "settings": identity_of(config), "chosen": None}
        self._record = record if record and record["chosen"] else fresh

    def run(self) -> None:
        """Chooses, fetches, and says so in the record."""
        self._save(finished=False)
        try:
            if self._config.coco_root:
                self._choose()
                self._require_images()
            else:
                self._config.images.mkdir(parents=True, exist_ok=True)
                with hold_lock(self._config.images, wait=True):  # other sets fetch into it too
                    self._choose()
                    self._bring_images()
        except KeyboardInterrupt:
            self._console.print(f"{self._root}: stopped; the same command goes on from here")
            raise
        self._save(finished=True)

    def _save(self, finished: bool) -> None:
        self._record |= {"images": str(self._config.images), "finished": finished}
        atomic_write_json(self._root / RECORD, self._record)

    def _choose(self) -> None:
        """Writes the annotation file of each role, unless they are there."""
        if self._record["chosen"] and self._has_roles():
            return
        folder, config = self._config.images, self._config
        if not config.coco_root:
            self._bring_annotations()
        roles: dict[Role, Any] = {}
        unusable: dict[str, list[int]] = {}
        short: list[str] = []
        for name in PARTS:
            self._console.print(f"Reading {instance_file(folder, name)}")
            part = self._read(name)
            ids, scarce = _ids_by_role(part, config)
            unusable[name], short = part.unusable, short + scarce
            for role, members in ids.items():
                content = part.annotation_file(members, f"{role} role of images from COCO 2017, {name}")
                atomic_write_text(_role_file(self._root, role), json.dumps(content, separators=(",", ":")) + "\n")
                roles[role] = self._facts(role, content)
        self._record["chosen"] = {"roles": roles, "fewer_than_asked": short, "unusable_annotations": unusable}
        self._save(finished=False)
        counts = ", ".join(f"{role} {roles[role]['images']:,}" for role in ROLES)
        self._console.print(f"{self._root}: {sum(facts['images'] for facts in roles.values()):,} images ({counts})")
        for line in short:
            self._console.print(f"Fewer than asked for: {line}")

    def _read(self, name: str) -> Part:
        folder, config = self._config.images, self._config
        try:
            return Part.read(instance_file(folder, name), name, ClassMap(config.classes))
        except UserError as error:
            if config.coco_root or has_instances(folder, readable=True):
                raise
            raise UserError(f"{error}; data.build=true fetches it again") from error

    def _has_roles(self) -> bool:
        """Whether each role has its file, and, where that is to be looked at, the one that was written for it."""
        if not all(_role_file(self._root, role).is_file() for role in ROLES):
            return False
        chosen: dict[str, Any] = self._record["chosen"]  # type: ignore[assignment]
        try:
            return not self._verify or all(
                self._facts(role, read_annotation_file(_role_file(self._root, role))) == chosen["roles"].get(role)
                for role in ROLES
            )
        except UserError:
            return False

    def _bring_annotations(self) -> None:
        folder, config = self._config.images, self._config
        if not has_instances(folder, readable=self._verify):
            images = _DISTINCT_SHARE * len(config.classes) * config.images_per_class / (1 - config.negatives)
            require_space(
                folder,
                ANNOTATIONS_BYTES + round(images) * MEAN_IMAGE_BYTES,
                f"COCO's annotations and about {images:,.0f} images",
            )
            with self._bar("Fetching COCO's annotations", DownloadColumn()) as (bar, task):
                fetch_instances(
                    folder,
                    config.download,
                    Fetcher(config.download),
                    lambda done, total: bar.update(task, completed=done, total=total),
                )
        archive_file(folder, config.download).unlink(missing_ok=True)  # also where its end was cut off

    def _facts(self, role: Role, content: dict[str, Any]) -> dict[str, Any]:
        """Counts of a role, and its fingerprint as runs have it."""
        names = {category["id"]: category["name"] for category in content["categories"]}
        boxes = [(names[entry["category_id"]], entry["image_id"]) for entry in content["annotations"]]
        facts = {
            "images": len(content["images"]),
            "without_objects": len(content["images"]) - len({image_id for _, image_id in boxes}),
            "boxes": dict(Counter(name for name, _ in boxes)),
            "images_with": dict(Counter(name for name, _ in set(boxes))),
        }
        if content["images"]:
            images = read_coco(_role_file(self._root, role), self._config.images, ClassMap(self._config.classes))
            facts["fingerprint"] = images.fingerprint
        return facts

    def _wanted(self) -> list[WantedImage]:
        images = []
        for role in ROLES:
            for entry in read_annotation_file(_role_file(self._root, role))["images"]:
                path = self._config.images / entry["file_name"]
                size = (entry["height"], entry["width"])
                images.append(WantedImage(entry["id"], path, entry.get("coco_url"), size))
        return images

    def _require_images(self) -> None:
        wanted = self._wanted()
        missing = [image.path for image in wanted if not image.path.is_file()]
        if missing:
            raise UserError(
                f"data.subset.coco_root={self._config.coco_root}: {len(missing):,} of {len(wanted):,} images are not"
                f" there, the first is {missing[0]}; {_IN_PLACE}"
            )
        if self._verify:
            with self._bar("Looking at images", MofNCompleteColumn(), len(wanted)) as (bar, task):
                problems = broken_images(wanted, self._config.download.parallel, lambda: bar.advance(task))
            if problems:
                total = f"{len(problems):,} of {len(wanted):,} images are broken"
                raise UserError(
                    f"data.subset.coco_root={self._config.coco_root}: {total}, the first is {problems[0]}; {_IN_PLACE}"
                )

    def _bring_images(self) -> None:
        config, wanted = self._config, self._wanted()
        for part in PARTS:
            (config.images / part).mkdir(exist_ok=True)
        missing = sum(not image.path.exists() for image in wanted)
        require_space(config.images, missing * MEAN_IMAGE_BYTES, f"{missing:,} images of about 165 kB")
        with self._bar("Fetching images", MofNCompleteColumn(), len(wanted)) as (bar, task):
            fetcher = Fetcher(config.download)
            problems = bring_images(wanted, fetcher, config.download.parallel, lambda: bar.advance(task))
        if problems:
            raise UserError(_failure(problems, len(wanted), config.images))

    @contextmanager
    def _bar(self, title: str, column: Any, total: int | None = None) -> Iterator[tuple[Progress, Any]]:
        columns = (TextColumn(title), BarColumn(), column, TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True, disable=self._console.quiet) as bar:
            yield bar, bar.add_task(title, total=total)


def _ids_by_role(part: Part, config: SubsetConfig) -> tuple[dict[Role, set[int]], list[str]]:
    """Ids of the two roles that a part feeds, and a line per class of which it has fewer images than asked for."""
    first, second = PARTS[part.name]
    share = config.shares.of_part(part.name)
    if not share:
        return {first: set(), second: set()}, []
    per_class = round(config.images_per_class * share)
    taken = choose(part.candidates(), config.classes, per_class, config.negatives, config.salt)
    inside = cut(taken, config.shares.of(second) / share, config.salt)
    found = Counter(name for image in taken for name in image.areas)
    short = [
        f"{name}: {found[name]} of {per_class} images in {part.name}"
        for name in config.classes
        if found[name] < per_class
    ]
    return {first: {image.image_id for image in taken} - inside, second: inside}, short


def _role_file(root: Path, role: Role) -> Path:
    return root / "annotations" / f"{role}.json"


def _failure(problems: list[str], count: int, folder: Path) -> str:
    shown = problems[:_SHOWN_PROBLEMS]
    more = [f"… and {len(problems) - len(shown):,} more"] if len(problems) > len(shown) else []
    total = f"{len(problems):,} of {count:,} images could not be fetched"
    return "\n".join([f"{total} into {folder}; the same command fetches only what is missing:", *shown, *more])
