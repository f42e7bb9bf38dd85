"""Copies are found whatever was done to them; different pictures are not."""

import io
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cascade_exit.data import (
    NEAR_BITS,
    ClassMap,
    CocoSet,
    HashedRole,
    ImageRecord,
    find_near_duplicates,
    hash_roles,
    near_duplicates,
    perceptual_hash,
    read_coco,
)
from cascade_exit.data.rooms.config import RoleCounts, RoomsConfig
from cascade_exit.data.rooms.generate import generate_rooms

from .scenes import record


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRecord]:
    counts = RoleCounts(train=14, val=0, calibrate=0, test=0)
    root = generate_rooms(tmp_path_factory.mktemp("rooms"), RoomsConfig(images=counts, size_px=(240, 180)))
    return list(read_coco(root / "annotations" / "train.json", root / "images", ClassMap(("chair",))).records)


def hashed(picture: Image.Image) -> np.ndarray:
    bits = perceptual_hash(np.asarray(picture.convert("RGB")))
    assert bits is not None
    return bits


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=quality)
    return Image.open(written)


COPIES = {
    "smaller": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "recompressed": lambda picture: jpeg(picture, 40),
    "stretched": lambda picture: picture.resize((320, 320)),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.75),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "all of it": lambda picture: jpeg(ImageEnhance.Brightness(picture.resize((200, 150))).enhance(0.85), 50),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_differ_in_few_bits(rooms: list[ImageRecord], name: str) -> None:
    pictures = [Image.open(room.path).convert("RGB") for room in rooms]
    bits = [int((hashed(picture) != hashed(COPIES[name](picture))).sum()) for picture in pictures]
    assert max(bits) <= NEAR_BITS


def test_different_pictures_differ_in_many(rooms: list[ImageRecord]) -> None:
    hashes = [hashed(Image.open(room.path)) for room in rooms]
    assert min(int((one != two).sum()) for one, two in combinations(hashes, 2)) > NEAR_BITS


def test_bits_are_signs_about_the_median_of_a_cosine_transform() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    places = range(32)

    def coefficient(down: int, right: int) -> float:
        wave = [
            [math.cos(math.pi * down * (2 * y + 1) / 64) * math.cos(math.pi * right * (2 * x + 1) / 64) for x in places]
            for y in places
        ]
        return float((grey * np.array(wave)).sum())

    coefficients = [coefficient(down, right) for down in range(1, 9) for right in range(1, 9)]
    expected = [value > float(np.median(coefficients)) for value in coefficients]
    assert hashed(Image.fromarray(grey).convert("RGB")).tolist() == expected


def test_pictures_of_one_colour_have_no_hash() -> None:
    assert perceptual_hash(np.full((50, 60, 3), 200, np.uint8)) is None


class TestSearch:
    def test_finds_what_comparing_all_pairs_finds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(near_duplicates, "_ROWS_AT_ONCE", 7)
        rng = np.random.default_rng(1)
        seeds = rng.random((5, 64)) < 0.5
        roles = {}
        for start, (name, count) in enumerate((("train", 30), ("val", 20), ("test", 25))):
            # Each is one of five pictures with a few bits turned over.
            hashes = seeds[rng.integers(0, 5, count)] ^ (rng.random((count, 64)) < 0.08)
            records = tuple(record(Path(f"{n}.png"), (4, 4), image_id=1000 * start + n) for n in range(count))
            roles[name] = HashedRole(records, hashes, plain=0, unreadable=())
        expected = set()
        for one, two in combinations(roles, 2):
            for i, first in enumerate(roles[one].hashes):
                for j, second in enumerate(roles[two].hashes):
                    bits = sum(a != b for a, b in zip(first.tolist(), second.tolist(), strict=True))
                    if bits <= 8:
                        ids = (roles[one].records[i].image_id, roles[two].records[j].image_id)
                        expected.add(((one, two), ids, bits))
        found = find_near_duplicates(roles, 8)
        assert {(pair.roles, tuple(r.image_id for r in pair.records), pair.bits) for pair in found} == expected
        assert 20 < len(expected) < 700
        assert [pair.bits for pair in found] == sorted(pair.bits for pair in found)

    def test_copies_in_other_roles_are_named(self, rooms: list[ImageRecord], tmp_path: Path) -> None:
        copy, broken, plain = tmp_path / "copy.jpg", tmp_path / "broken.jpg", tmp_path / "plain.png"
        with Image.open(rooms[3].path) as picture:
            smaller = picture.convert("RGB").resize((picture.width // 2, picture.height // 2))
        smaller.save(copy, quality=60)
        broken.write_bytes(copy.read_bytes()[:500])
        Image.new("RGB", (40, 30), (9, 9, 9)).save(plain)
        size = (smaller.height, smaller.width)
        tested = (
            record(copy, size, image_id=1, group=rooms[3].group),
            record(broken, size, image_id=2),
            record(plain, (30, 40), image_id=3),
            # The same picture twice in one role is nobody's loss.
            record(copy, size, image_id=4),
        )
        chairs = ClassMap(("chair",))
        sets = {"train": CocoSet(tuple(rooms[:8]), chairs), "test": CocoSet(tested, chairs)}
        hashes = hash_roles(sets, workers=2)
        assert (hashes["test"].plain, len(hashes["test"].unreadable)) == (1, 1)
        assert str(broken) in hashes["test"].unreadable[0]
        pairs = find_near_duplicates(hashes)
        assert [(pair.roles, pair.records[0].path, pair.records[1].image_id) for pair in pairs] == [
            (("train", "test"), rooms[3].path, 1),
            (("train", "test"), rooms[3].path, 4),
        ]

    def test_an_image_s_own_id_is_no_group(self, rooms: list[ImageRecord]) -> None:
        pair = find_near_duplicates({name: self._role(rooms[0]) for name in ("train", "test")})[0]
        assert not pair.same_group
        named = replace(rooms[0], group="kitchen")
        assert find_near_duplicates({name: self._role(named) for name in ("train", "test")})[0].same_group

    @staticmethod
    def _role(room: ImageRecord) -> HashedRole:
        return hash_roles({"train": CocoSet((room,), ClassMap(("chair",)))})["train"]
