import math
import random
from collections import Counter
from typing import Any

import pytest

from cascade_exit.data.coco_subset import DownloadConfig, RoleShares, SubsetConfig
from cascade_exit.data.coco_subset.selection import Candidate, choose, cut, size_of
from cascade_exit.data.randomness import unit_hash

CLASSES = ("person", "chair", "cat")
AREAS = (500.0, 4000.0, 20_000.0)


def images(count: int, shares: dict[str, float], seed: int = 0, first_id: int = 1) -> list[Candidate]:
    """Images that hold each class with some probability; those of none are negatives."""
    rng = random.Random(seed)
    made = []
    for image_id in range(first_id, first_id + count):
        areas = {name: rng.choice(AREAS) for name, share in shares.items() if rng.random() < share}
        made.append(Candidate(image_id, areas, negative=not areas))
    return made


@pytest.fixture(scope="module")
def pool() -> list[Candidate]:
    return images(4500, {"person": 0.5, "chair": 0.15, "cat": 0.05})


def ids(taken: list[Candidate]) -> set[int]:
    return {image.image_id for image in taken}


def held(taken: list[Candidate]) -> Counter[str]:
    return Counter(name for image in taken for name in image.areas)


@pytest.mark.parametrize(
    ("area", "size"), [(0.0, "small"), (1023.9, "small"), (1024.0, "medium"), (9215.9, "medium"), (9216.0, "large")]
)
def test_sizes_are_coco_s(area: float, size: str) -> None:
    assert size_of(area) == size


def test_every_class_gets_what_was_asked_or_all_that_there_is(pool: list[Candidate]) -> None:
    taken = choose(pool, CLASSES, per_class=400, negatives=0.0, salt="s")
    assert held(taken)["cat"] == held(pool)["cat"] < 400
    assert held(taken)["chair"] == 400
    assert held(taken)["person"] == 400  # on half of the images: companions, and not one more than is needed


def test_no_class_is_topped_up_where_its_companions_suffice(pool: list[Candidate]) -> None:
    everybody = [Candidate(image.image_id, {**image.areas, "person": AREAS[0]}, False) for image in pool]
    taken = choose(everybody, CLASSES, per_class=100, negatives=0.0, salt="s")
    assert held(taken)["cat"] == 100  # the rarest has its turn first
    assert held(taken)["chair"] == 100
    assert held(taken)["person"] == len(taken) < 200


def test_the_rarest_class_gets_the_first_images_of_the_hash_order(pool: list[Candidate]) -> None:
    order = sorted((unit_hash("s", "choice", image.image_id), image.image_id) for image in pool if "cat" in image.areas)
    assert ids(choose(pool, ["cat"], 50, 0.0, "s")) == {key for _, key in order[:50]}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_negatives_have_their_share_and_hold_nothing(pool: list[Candidate], share: float) -> None:
    taken = choose(pool, CLASSES, per_class=200, negatives=share, salt="s")
    empty = [image for image in taken if image.negative]
    assert abs(len(empty) - share * len(taken)) <= 1
    assert not held(empty)


def test_an_image_of_a_crowd_alone_is_neither_taken_nor_a_negative() -> None:
    crowd = [Candidate(image_id, {}, negative=False) for image_id in range(1, 50)]
    plain = images(50, {"cat": 0.5}, first_id=100)
    assert min(ids(choose([*crowd, *plain], ["cat"], per_class=100, negatives=0.4, salt="s"))) >= 100


def test_order_of_images_and_classes_changes_nothing(pool: list[Candidate]) -> None:
    shuffled = random.Random(1).sample(pool, len(pool))
    ours, theirs = (choose(*given, 300, 0.2, "s") for given in ((pool, CLASSES), (shuffled, CLASSES[::-1])))
    assert ids(ours) == ids(theirs)
    assert cut(ours, 0.3, "s") == cut(random.Random(2).sample(theirs, len(theirs)), 0.3, "s")


def test_everyone_gets_the_same() -> None:
    # What this code gave when it was written: whoever changes it changes everybody's data, and has to raise VERSION.
    kinds: list[dict[str, float]] = [{"person": 2000.0, "cat": 500.0}, {"person": 99_999.0}, {}]
    given = [Candidate(number, kinds[number % 3], negative=number % 3 == 2) for number in range(1, 31)]
    taken = choose(given, ["person", "cat"], 8, 0.25, "coco2017")
    assert sorted(ids(taken)) == [3, 5, 6, 8, 9, 12, 15, 18, 27, 29, 30]
    assert sorted(cut(taken, 0.4, "coco2017")) == [5, 9, 12, 27]


def test_another_salt_is_another_choice_and_another_cut(pool: list[Candidate]) -> None:
    taken, other = (choose(pool, CLASSES, 100, 0.2, salt) for salt in ("s", "t"))
    assert len(ids(taken) & ids(other)) < 0.6 * len(taken)
    assert len(cut(taken, 0.5, "s") & cut(taken, 0.5, "t")) == pytest.approx(len(taken) / 4, rel=0.3)


@pytest.mark.parametrize("share", [0.0, 1 / 11, 0.5, 0.93, 1.0])
def test_every_stratum_is_cut_to_within_one_image(pool: list[Candidate], share: float) -> None:
    """Over all images of a class and size, whichever class they were taken for."""
    taken = choose(pool, CLASSES, 300, 0.2, "s")
    inside = cut(taken, share, "s")
    sizes = Counter(stratum for image in taken for stratum in image.strata)
    parts = Counter(stratum for image in taken for stratum in image.strata if image.image_id in inside)
    assert len(sizes) == 1 + len(CLASSES) * len(AREAS)
    assert sum(len(image.strata) for image in taken) > 1.1 * len(taken)  # many belong to several
    for stratum, size in sizes.items():
        assert math.floor(size * share) <= parts[stratum] <= math.ceil(size * share)


def test_small_strata_do_not_all_lean_to_one_side() -> None:
    # 2,000 strata of two images each: a third of each is 0.67 images, 1,333 in all; binomial deviation is 21.
    alone = [Candidate(number, {f"class {number // 2}": AREAS[0]}, negative=False) for number in range(4000)]
    assert abs(len(cut(alone, 1 / 3, "s")) - 4000 / 3) < 4 * 21


def test_the_cut_does_not_follow_the_choice(pool: list[Candidate]) -> None:
    # Were both in one order, the first images of the one would be the first of the other.
    taken = choose(pool, ["person"], 2000, 0.0, "s")
    early = sorted(ids(taken), key=lambda image_id: unit_hash("s", "choice", image_id))[:1000]
    assert len(cut(taken, 0.5, "s") & set(early)) == pytest.approx(500, abs=4 * math.sqrt(250))


def test_a_class_of_other_images_moves_no_one(pool: list[Candidate]) -> None:
    dogs = images(500, {"dog": 0.8}, first_id=100_000)
    before = choose(pool, CLASSES, 300, 0.0, "s")
    after = choose([*pool, *dogs], (*CLASSES, "dog"), 300, 0.0, "s")
    assert ids(before) < ids(after)
    assert cut(before, 0.3, "s") == cut(after, 0.3, "s") & ids(before)


def test_a_class_among_the_images_moves_few(pool: list[Candidate]) -> None:
    rng = random.Random(5)
    dogs = [
        Candidate(image.image_id, {**image.areas, "dog": AREAS[1]}, negative=False) if rng.random() < 0.04 else image
        for image in pool
    ]
    before, after = choose(pool, CLASSES, 300, 0.0, "s"), choose(dogs, (*CLASSES, "dog"), 300, 0.0, "s")
    stayed = ids(before) & ids(after)
    moved = (cut(before, 0.3, "s") ^ cut(after, 0.3, "s")) & stayed
    assert len(stayed) > 0.7 * len(before)
    assert len(moved) < 0.15 * len(stayed)  # a new draw would move 42 %


def test_settings_out_of_range_are_named() -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (SubsetConfig, {"classes": ("cat",), "images_per_class": 0}, "images_per_class must be at least 1"),
        (SubsetConfig, {"classes": ("cat",), "negatives": 1.0}, r"negatives must be in \[0, 1\)"),
        (SubsetConfig, {"classes": ("cat", "cat")}, "classes must name every class once"),
        (RoleShares, {"train": 0.5}, "add up to 1"),
        (RoleShares, {"train": 0.0, "test": 0.85}, "train must be above 0"),
        (DownloadConfig, {"parallel": 0}, "parallel must be from 1 to 64"),
        (DownloadConfig, {"attempts": 0}, "attempts must be from 1 to 100"),
        (DownloadConfig, {"timeout_s": 0.0}, "timeout_s must be above 0"),
        (DownloadConfig, {"annotations_sha256": "abc"}, "must be 64 hexadecimal digits"),
        (DownloadConfig, {"annotations_url": "file:///etc/passwd"}, "must start with http"),
    ]
    for settings, values, message in cases:
        with pytest.raises(ValueError, match=message):
            settings(**values)
