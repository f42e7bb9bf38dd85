"""Writing generated rooms as a plain COCO data set: ``images/`` and one annotation file per role.

The work is cut into chunks of images. A chunk's record is written after its images, and the marker
says that the set is finished only after everything else: whatever is killed in between goes on where it
stopped, and ends with the same bytes. A process that comes while another draws waits, and finds the set made.
"""

import dataclasses
import hashlib
import json
import math
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from cascade_exit.data.rooms.annotate import SeenThing, make_scene
from cascade_exit.data.rooms.config import COCO_CATEGORY_IDS, ROLES, Difficulty, RoomsConfig
from cascade_exit.data.rooms.photo import expose, to_jpeg
from cascade_exit.data.rooms.render import compose
from cascade_exit.runs.atomic import TEMPORARY_PREFIX, atomic_write_text
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.lock import LOCK_NAME, hold_lock

GENERATOR_VERSION = 1
"""Changes whenever the same config would give other bytes."""

MARKER = "rooms.json"

_CHUNK = 25
_PARTS = "unfinished"
_IMAGE_IDS_PER_ROLE = 1_000_000


@dataclass(frozen=True)
class _Chunk:
    role: str
    first: int
    count: int

    @property
    def record(self) -> str:
        return f"{_PARTS}/{self.role}_{self.first:06d}.json"


def generate_rooms(root: Path, config: RoomsConfig, workers: int = 1, progress: bool = False) -> Path:
    """Make the data set that ``config`` describes, or find it made.

    The same config gives the same bytes on the same machine with the same Pillow, whatever the number of
    workers. ``root`` then holds ``images/*.jpg``, ``annotations/{train,val,calibrate,test}.json`` and the
    marker ``rooms.json``. Each image entry carries ``difficulty`` (empty, simple, crowded) and ``group``;
    each annotation ``occlusion`` and ``truncation`` as shares of the thing's silhouette.

    Args:
        root: Folder of the data set; made when missing.
        config: What to draw.
        workers: Processes to draw with. More than one needs the usual ``if __name__ == "__main__"`` guard
            in the script that calls.
        progress: Show a bar.

    Returns:
        ``root``.

    Raises:
        UserError: When the folder holds anything but this set, finished or unfinished.
        ValueError: When ``workers`` is not positive.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")
    if _is_finished(root, config):
        return root
    root.mkdir(parents=True, exist_ok=True)
    with hold_lock(root, wait=True):
        if not _is_finished(root, config):
            _generate(root, config, workers, progress)
        (root / LOCK_NAME).unlink(missing_ok=True)  # whoever waits for it finds the set finished
    return root


def _generate(root: Path, config: RoomsConfig, workers: int, progress: bool) -> None:
    _write_json(root / MARKER, _marker(config, finished=False))
    (root / "images").mkdir(exist_ok=True)
    missing = [chunk for chunk in _chunks(config) if not (root / chunk.record).exists()]
    _make_chunks(root, config, missing, workers, progress)
    for role in ROLES:
        _write_json(root / "annotations" / f"{role}.json", _merged(root, config, role))
    _write_json(root / MARKER, _marker(config, finished=True))
    shutil.rmtree(root / _PARTS, ignore_errors=True)


def difficulty_of(config: RoomsConfig, role: str, index: int) -> Difficulty:
    """Give the difficulty of image ``index`` of a role.

    Steps of the golden ratio spread the three over any run of images as evenly as the mix asks for.
    """
    start = Random(f"{config.seed} {role} difficulty").random()
    place = (start + index * (math.sqrt(5) - 1) / 2) % 1.0
    if place < config.difficulty_mix.empty:
        return "empty"
    return "simple" if place < config.difficulty_mix.empty + config.difficulty_mix.simple else "crowded"


def _make_chunks(root: Path, config: RoomsConfig, chunks: list[_Chunk], workers: int, progress: bool) -> None:
    total = sum(chunk.count for chunk in chunks)
    if workers == 1 or len(chunks) < 2:
        done: Iterator[int] = (_make_chunk(root, config, chunk) for chunk in chunks)
        _drain(done, total, progress)
        return
    # Not forked from here: the caller may run threads (torch does), and a fork of those can hang. The server
    # imports this module once for all workers.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
        futures = [pool.submit(_make_chunk, root, config, chunk) for chunk in chunks]
        try:
            _drain((future.result() for future in as_completed(futures)), total, progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _drain(done: Iterator[int], total: int, progress: bool) -> None:
    if not progress:
        for _ in done:
            pass
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("drawing rooms", total=total)
        for count in done:
            bar.advance(task, count)


def _make_chunk(root: Path, config: RoomsConfig, chunk: _Chunk) -> int:
    """Draw a chunk's images, then record them; gives their number."""
    entries = [_make_image(root, config, chunk.role, chunk.first + i) for i in range(chunk.count)]
    _write_json(root / chunk.record, entries)
    return chunk.count


def _make_image(root: Path, config: RoomsConfig, role: str, index: int) -> dict[str, Any]:
    difficulty = difficulty_of(config, role, index)
    rng = Random(f"{config.seed} {role} {index}")
    scene, layer, seen = make_scene(rng, difficulty, config.size_px, config.classes)
    jpeg = to_jpeg(expose(compose(scene, layer), scene.light, rng), rng)
    image_id = ROLES.index(role) * _IMAGE_IDS_PER_ROLE + index + 1
    file_name = f"{role}_{index:06d}.jpg"
    (root / "images" / file_name).write_bytes(jpeg)
    image = {
        "id": image_id,
        "file_name": file_name,
        "width": scene.camera.width,
        "height": scene.camera.height,
        "group": str(image_id),
        "difficulty": difficulty,
    }
    return {"image": image, "annotations": [_annotation(image_id, thing) for thing in seen]}


def _annotation(image_id: int, thing: SeenThing) -> dict[str, Any]:
    left, top, right, bottom = thing.box_xyxy_px
    return {
        "image_id": image_id,
        "category_id": COCO_CATEGORY_IDS[thing.name],
        "bbox": [left, top, right - left, bottom - top],
        "area": thing.area_px,
        "iscrowd": 0,
        "occlusion": round(thing.occlusion, 4),
        "truncation": round(thing.truncation, 4),
    }


def _merged(root: Path, config: RoomsConfig, role: str) -> dict[str, Any]:
    images, annotations = [], []
    for chunk in _chunks(config):
        if chunk.role == role:
            for entry in json.loads((root / chunk.record).read_text("utf-8")):
                images.append(entry["image"])
                annotations += entry["annotations"]
    first_id = ROLES.index(role) * _IMAGE_IDS_PER_ROLE + 1
    return {
        "info": {"description": f"generated rooms, {role}", "version": str(GENERATOR_VERSION)},
        "images": images,
        "annotations": [{"id": first_id + i, **annotation} for i, annotation in enumerate(annotations)],
        "categories": [{"id": COCO_CATEGORY_IDS[name], "name": name} for name in config.classes],
    }


def _chunks(config: RoomsConfig) -> list[_Chunk]:
    return [
        _Chunk(role, first, min(_CHUNK, config.images.of(role) - first))
        for role in ROLES
        for first in range(0, config.images.of(role), _CHUNK)
    ]


def _marker(config: RoomsConfig, finished: bool) -> dict[str, Any]:
    # Through JSON, so that tuples compare equal to the lists that are read back.
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return {
        "generator_version": GENERATOR_VERSION,
        "config": plain,
        "config_sha256": digest,
        "finished": finished,
    }


def _is_finished(root: Path, config: RoomsConfig) -> bool:
    """Say whether the set is there already; refuse a folder that holds something else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder for the generated rooms, found a file")
    marker = root / MARKER
    # Before the marker is looked for: another process that makes the rooms right now writes the marker first.
    held = [path.name for path in root.iterdir()]
    if not marker.exists():
        if any(name != LOCK_NAME and not name.startswith(TEMPORARY_PREFIX) for name in held):
            raise UserError(f"{root}: holds files but no {MARKER}; choose an empty folder for the generated rooms")
        return False
    try:
        found = json.loads(marker.read_text("utf-8"))
        version, stored, finished = found["generator_version"], found["config"], bool(found["finished"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{marker}: is not a marker of generated rooms; remove the folder or choose another") from error
    if version != GENERATOR_VERSION:
        raise UserError(
            f"{root}: was made by version {version} of the generator, this is {GENERATOR_VERSION}; "
            "remove the folder or choose another"
        )
    wanted = _marker(config, finished=True)["config"]
    if stored != wanted:
        raise UserError(
            f"{root}: holds rooms of another config ({_differences(stored, wanted)}); "
            "remove the folder or choose another"
        )
    return finished


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = sorted({*stored, *wanted})
    return ", ".join(
        f"{key}: {stored.get(key)} there, {wanted.get(key)} asked" for key in keys if stored.get(key) != wanted.get(key)
    )


def _write_json(path: Path, content: Any) -> None:
    atomic_write_text(path, json.dumps(content, separators=(",", ":")) + "\n")
