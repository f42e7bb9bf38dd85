from pathlib import Path
from typing import Any

import pytest

import cascade_exit.data.sources as sources
from cascade_exit.data import DataConfig, RoleFiles, SplitConfig, load_role, load_roles, open_images
from cascade_exit.data.rooms import RoleCounts, RoomsConfig
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.identity import identity_of

from .scenes import write_set

TRAIN = RoleFiles("annotations/all.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_set(tmp_path, "all", 60)
    return tmp_path


def _config(folder: Path, **more: Any) -> DataConfig:
    return DataConfig(**{"root": str(folder), "train": TRAIN, "split": SplitConfig(val=0.2, calibrate=0.3), **more})


def _ids(config: DataConfig, role: str) -> set[int]:
    return set(load_role(config, role).by_id)


def test_a_training_file_is_cut_into_three_disjoint_roles(root: Path) -> None:
    sets = load_roles(_config(root), ("train", "val", "calibrate"))
    ids = [set(coco_set.by_id) for coco_set in sets.values()]
    assert sum(map(len, ids)) == 60
    assert set.union(*ids) == set(range(1, 61))
    assert min(map(len, ids)) >= 5
    assert {coco_set.annotations for coco_set in sets.values()} == {root / "annotations/all.json"}


def test_groups_are_never_split(tmp_path: Path) -> None:
    write_set(tmp_path, "all", 200, group_size=7)
    sets = load_roles(_config(tmp_path), ("train", "val", "calibrate"))
    groups = [{record.group for record in coco_set.records} for coco_set in sets.values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set.union(*groups)) == 200 // 7 + 1


def test_an_image_keeps_its_role_when_others_are_added(root: Path) -> None:
    before = _ids(_config(root), "calibrate")
    write_set(root, "all", 90)
    assert _ids(_config(root), "calibrate") & set(range(1, 61)) == before


def test_files_of_its_own_are_a_role_as_a_whole(root: Path) -> None:
    write_set(root, "extra", 10, first_id=1000)
    plain, config = _config(root), _config(root, val=RoleFiles("annotations/extra.json"))
    assert _ids(config, "val") == set(range(1000, 1010))
    assert _ids(config, "calibrate") == _ids(plain, "calibrate")
    assert _ids(config, "train") == _ids(plain, "train") | _ids(plain, "val")


def test_the_test_role_needs_no_other_files(root: Path) -> None:
    write_set(root, "held_out", 10, first_id=1000)
    (root / "annotations/all.json").unlink()
    config = _config(root, test=RoleFiles("annotations/held_out.json", "images"))
    assert _ids(config, "test") == set(range(1000, 1010))
    with pytest.raises(UserError, match="all.json: does not exist"):
        load_role(config, "train")


def test_unseen_is_calibrate_and_test_together(root: Path) -> None:
    write_set(root, "held_out", 10, first_id=1000)
    config = _config(root, test=RoleFiles("annotations/held_out.json", "images"))
    joined, parts = load_role(config, "unseen"), load_roles(config, ("calibrate", "test"))
    assert set(joined.by_id) == set(parts["calibrate"].by_id) | set(range(1000, 1010))
    for part in parts.values():
        assert {record.path for record in part.records} <= {record.path for record in joined.records}
    assert joined.class_map == parts["test"].class_map


def test_files_that_use_the_same_ids_are_joined_without_mixing_images_up(root: Path) -> None:
    """An oracle by path: every image keeps its own boxes, no two share an id, or a group that is only an id."""
    write_set(root / "other", "held_out", 40, first_id=1)
    test = RoleFiles(str(root / "other/annotations/held_out.json"), str(root / "other/images"))
    config = _config(root, test=test)
    parts, joined = load_roles(config, ("calibrate", "test")), load_role(config, "unseen")
    assert set(parts["calibrate"].by_id) & set(parts["test"].by_id)
    ids = [record.image_id for record in joined.records]
    assert ids == sorted(set(ids))
    assert len({record.group for record in joined.records}) == len(ids) == sum(map(len, parts.values()))
    boxes = {record.path: record.boxes for part in parts.values() for record in part.records}
    assert all((record.boxes == boxes[record.path]).all() for record in joined.records)


def test_absolute_paths_are_taken_as_they_are(root: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "elsewhere", "t", 4)
    files = RoleFiles(str(tmp_path / "elsewhere/annotations/t.json"), str(tmp_path / "elsewhere/images"))
    coco_set = load_role(_config(root, test=files), "test")
    assert coco_set.records[0].path == tmp_path / "elsewhere/images/1.png"


@pytest.mark.parametrize("negatives", [0.0, 0.4, 1.0])
def test_negatives_are_thinned_in_training_only(root: Path, negatives: float) -> None:
    whole, thinned = _config(root), _config(root, negatives=negatives)
    kept = load_role(thinned, "train")
    with_objects = [record.image_id for record in kept.records if len(record.labels)]
    assert with_objects == [record.image_id for record in load_role(whole, "train").records if len(record.labels)]
    negative_share = (len(kept) - len(with_objects)) / (len(load_role(whole, "train")) - len(with_objects))
    assert negative_share == pytest.approx(negatives, abs=0.3 if 0 < negatives < 1 else 0)
    assert _ids(thinned, "val") == _ids(whole, "val")


def test_fewer_negatives_are_a_subset_of_more(root: Path) -> None:
    assert _ids(_config(root, negatives=0.3), "train") < _ids(_config(root, negatives=0.7), "train")


def test_each_file_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = sources.read_coco
    monkeypatch.setattr(sources, "read_coco", lambda path, *rest: read.append(path) or original(path, *rest))
    load_roles(_config(root), ("train", "val", "calibrate"))
    assert len(read) == 1


def test_broken_images_stop_before_the_work_and_sound_ones_are_cached(root: Path) -> None:
    config = _config(root, cache=True)
    sets = load_roles(config, ("train", "val"))
    store = open_images(sets.values(), config)
    first = sets["train"].records[0]
    first.path.unlink()
    assert store.read(first).shape == (48, 64, 3)
    with pytest.raises(UserError, match=f"image id {first.image_id}, {first.path}: file does not exist$"):
        open_images(sets.values(), config)


@pytest.mark.parametrize(
    ("more", "role", "message"),
    [
        ({"root": None}, "train", "data.root is not set"),
        ({"root": "no/such/folder"}, "train", "data.root=no/such/folder: folder does not exist"),
        ({}, "test", "data.test is not set, so there is no test role: give data.test.annotations=FILE"),
        ({"train": None}, "val", "data.train is not set, so there is no val role"),
        ({"train": RoleFiles()}, "train", "data.train is not set"),
        ({"split": SplitConfig(val=0.0)}, "val", "no image falls to the val role: raise data.split.val"),
        ({"train": RoleFiles("annotations/al.json")}, "train", "did you mean 'all.json'"),
        ({"classes": ("dog",)}, "train", "the train role has no image with a box of dog"),
        ({"classes": ("zebra",)}, "train", "has no class 'zebra'"),
    ],
)
def test_what_is_missing_is_said(root: Path, more: dict[str, Any], role: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_role(_config(root, **more), role)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": ("chair", "chair")}, "classes must name every class once"),
        ({"classes": ()}, "classes must name at least one"),
        ({"negatives": 1.5}, "negatives must be in"),
        ({"workers": -1}, "workers must be 0 or more"),
        ({"name": "rooms"}, "rooms must be given"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**values)


def test_paths_workers_and_cache_do_not_identify_the_data() -> None:
    first = DataConfig(root="a", train=RoleFiles("a.json"), cache=True, workers=4, check="header")
    second = DataConfig(root="b", train=RoleFiles("b.json", "photos"))
    assert identity_of(first) == identity_of(second)
    assert identity_of(first) != identity_of(DataConfig(negatives=0.5))


def test_rooms_are_generated_once_and_each_role_has_its_own_file(tmp_path: Path) -> None:
    rooms = RoomsConfig(images=RoleCounts(train=4, val=3, calibrate=2, test=1), size_px=(96, 96))
    config = DataConfig(name="rooms", root=str(tmp_path / "rooms"), rooms=rooms)
    sets = load_roles(config)
    assert {role: len(coco_set) for role, coco_set in sets.items()} == {"train": 4, "val": 3, "calibrate": 2, "test": 1}
    open_images(sets.values(), config)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "rooms").rglob("*.jpg")}
    assert len(made) == 10
    assert load_role(config, "test").fingerprint == sets["test"].fingerprint
    assert {path: path.stat().st_mtime_ns for path in made} == made
