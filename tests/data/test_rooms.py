import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cascade_exit.data.rooms import COCO_CATEGORY_IDS, DifficultyMix, RoleCounts, RoomsConfig, generate, generate_rooms
from cascade_exit.data.rooms.annotate import SeenThing, keeps_promise, make_scene
from cascade_exit.data.rooms.camera import Camera
from cascade_exit.data.rooms.generate import difficulty_of
from cascade_exit.data.rooms.render import Layer, draw_things
from cascade_exit.data.rooms.scene import Scene
from cascade_exit.data.rooms.shapes import Item, box
from cascade_exit.runs.errors import UserError
from tests.data.room_rays import first_hits

ROLES = ("train", "val", "calibrate", "test")
CONFIG = RoomsConfig(seed=3, images=RoleCounts(train=28, val=1, calibrate=0, test=2))
FEW = RoomsConfig(seed=3, images=RoleCounts(train=8, val=1, calibrate=0, test=2))
ALL_CLASSES = tuple(COCO_CATEGORY_IDS)


@pytest.fixture(scope="module")
def chairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_rooms(tmp_path_factory.mktemp("rooms") / "chairs", CONFIG)


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """So few rooms that train has a chunk and a beginning of the next."""
    monkeypatch.setattr(generate, "_CHUNK", 6)
    return generate_rooms(tmp_path / "few", FEW)


@pytest.fixture(scope="module")
def crowded() -> list[tuple[Scene, Layer, list[SeenThing]]]:
    """Crowded scenes, of chairs and of all classes in turn."""
    return [
        make_scene(Random(seed), "crowded", (320, 240), ALL_CLASSES if seed % 2 else ("chair",))
        for seed in (0, 1, 2, 7)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def entries(folder: Path, role: str) -> dict:
    return json.loads((folder / "annotations" / f"{role}.json").read_text())


def test_two_workers_write_the_same_bytes_as_one(few: Path, tmp_path: Path) -> None:
    again = generate_rooms(tmp_path / "again", FEW, workers=2)
    assert files_of(again) == files_of(few)


def test_an_image_depends_on_seed_role_and_number_only(chairs: Path, tmp_path: Path) -> None:
    few = dataclasses.replace(CONFIG, images=RoleCounts(train=2, val=0, calibrate=0, test=1))
    same = files_of(generate_rooms(tmp_path / "few", few))
    names = [name for name in same if name.endswith(".jpg")]
    assert sorted(names) == ["images/test_000000.jpg", "images/train_000000.jpg", "images/train_000001.jpg"]
    assert all(same[name] == (chairs / name).read_bytes() for name in names)
    other = files_of(generate_rooms(tmp_path / "other", dataclasses.replace(few, seed=4)))
    assert all(same[name] != other[name] for name in names)
    assert len({same[name] for name in names}) == 3


def test_roles_do_not_share_images(tmp_path: Path) -> None:
    only_simple = DifficultyMix(empty=0.0, simple=1.0, crowded=0.0)
    config = RoomsConfig(images=RoleCounts(1, 1, 1, 1), difficulty_mix=only_simple)
    images = generate_rooms(tmp_path / "rooms", config) / "images"
    assert len({path.read_bytes() for path in images.iterdir()}) == 4


def test_pycocotools_reads_every_role(chairs: Path) -> None:
    assert {path.name for path in chairs.iterdir()} == {"annotations", "images", "rooms.json"}
    image_ids: list[int] = []
    for role in ROLES:
        coco = COCO(str(chairs / "annotations" / f"{role}.json"))
        assert coco.loadCats(coco.getCatIds()) == [{"id": 62, "name": "chair"}]
        assert len(coco.imgs) == CONFIG.images.of(role)
        assert len(coco.dataset["annotations"]) == len(coco.anns), "annotation ids must differ"
        image_ids += coco.getImgIds()
        for image in coco.imgs.values():
            with Image.open(chairs / "images" / image["file_name"]) as photo:
                assert (photo.format, photo.mode) == ("JPEG", "RGB")
                assert photo.size == (image["width"], image["height"])
            assert sorted(photo.size) == [240, 320]
            assert image["group"] == str(image["id"])
        for annotation in coco.anns.values():
            image = coco.imgs[annotation["image_id"]]
            left, top, width, height = annotation["bbox"]
            assert min(left, top) >= 0
            assert left + width <= image["width"]
            assert top + height <= image["height"]
            assert min(width, height) >= 8
            assert 0 < annotation["area"] <= width * height
            assert annotation["iscrowd"] == 0
    assert len(set(image_ids)) == 31


def test_each_difficulty_holds_what_it_says(chairs: Path) -> None:
    found: dict[str, int] = {"empty": 0, "simple": 0, "crowded": 0}
    data = entries(chairs, "train")
    for image in data["images"]:
        things = [thing for thing in data["annotations"] if thing["image_id"] == image["id"]]
        found[image["difficulty"]] += 1
        heights = [thing["bbox"][3] / image["height"] for thing in things]
        if image["difficulty"] == "empty":
            assert not things
        elif image["difficulty"] == "simple":
            assert [(thing["occlusion"], thing["truncation"]) for thing in things] == [(0, 0)]
            assert 0.25 <= heights[0] <= 0.6
        else:
            assert 3 <= len(things) <= 8
            assert max(heights) <= 0.5
        assert all((1 - thing["occlusion"]) * (1 - thing["truncation"]) > 0.2499 for thing in things)
    assert all(abs(count / 28 - share) < 0.07 for count, share in zip(found.values(), (0.3, 0.35, 0.35), strict=True))


def test_shares_of_the_difficulties_are_met_on_any_run_of_images() -> None:
    config = RoomsConfig(difficulty_mix=DifficultyMix(empty=0.1, simple=0.6, crowded=0.3))
    drawn = [difficulty_of(config, "train", index) for index in range(400)]
    for start in range(0, 400, 50):
        run = drawn[start : start + 50]
        assert abs(run.count("empty") - 5) <= 2
        assert abs(run.count("simple") - 30) <= 2
    assert drawn != [difficulty_of(config, "val", index) for index in range(400)]


def test_the_picture_shows_what_rays_meet_first(crowded: list[tuple[Scene, Layer, list[SeenThing]]]) -> None:
    for scene, layer, _ in crowded:
        shown = np.asarray(layer.owners).astype(int) - 1
        rng = np.random.default_rng(0)
        columns, rows = (rng.integers(2, side - 2, 1500) for side in layer.owners.size)
        around = np.stack([shown[rows + dy, columns + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2)])
        inner = (around == around[4]).all(axis=0)
        met = first_hits(scene, (columns[inner] + 0.5) / 2, (rows[inner] + 0.5) / 2)
        assert (met >= 0).mean() > 0.05
        assert (met != around[4][inner]).mean() < 0.005


def test_faces_toward_the_camera_are_painted_in_the_light_that_falls_on_them() -> None:
    scene = make_scene(Random(0), "empty", (320, 240), ("chair",))[0]
    light = dataclasses.replace(scene.light, x=0.0, y=1.0, z=0.0, ambient=0.5, key=0.4)
    camera = Camera(0.0, 2.0, 0.0, yaw=0.0, pitch=0.5, roll=0.0, focal_px=200.0, width=320, height=240)
    alone = Scene("empty", camera, scene.room, light)
    cube = Item("box", (box((200.0, 150.0, 100.0), 0, 0, 0, 1.0, 1.0, 1.0),), 1.0, 1.0, 1.0)
    alone.add(alone.add_group(0.0, 0.0, 3.0, 0.0), cube, False, 0.0, 0.0, 0.0, 0.0)
    picture = draw_things(alone).picture
    for middle, strength in (((0.0, 1.0, 3.0), 0.5 + 0.4), ((0.0, 0.5, 2.5), 0.5 * 0.8)):
        column, row, _ = camera.project_point(*middle)
        expected = [200 * strength, 150 * strength, 100 * strength]
        assert picture.getpixel((round(2 * column), round(2 * row))) == pytest.approx(expected, abs=1)


def test_boxes_are_tight_around_what_rays_meet(crowded: list[tuple[Scene, Layer, list[SeenThing]]]) -> None:
    for scene, _, seen in crowded[:2]:
        for thing in seen[:2]:
            left, top, right, bottom = thing.box_xyxy_px
            columns, rows = np.meshgrid(np.arange(left - 3.25, right + 3, 0.5), np.arange(top - 3.25, bottom + 3, 0.5))
            inside = (columns > 0) & (rows > 0) & (columns < scene.camera.width) & (rows < scene.camera.height)
            columns, rows = columns[inside], rows[inside]
            own = first_hits(scene, columns, rows) == thing.number
            reach = (columns[own].min(), rows[own].min(), columns[own].max(), rows[own].max())
            assert np.abs(np.subtract(reach, thing.box_xyxy_px)).max() <= 1.0, thing
            # Polygons are painted with their outlines, which fattens thin legs.
            assert 0.9 < thing.area_px / (own.sum() / 4) < 1.6


def test_annotations_describe_the_mask(crowded: list[tuple[Scene, Layer, list[SeenThing]]]) -> None:
    for _, layer, seen in crowded:
        owners = np.asarray(layer.owners)
        for thing in seen:
            rows, columns = np.nonzero(owners == thing.number + 1)
            box = (columns.min() / 2, rows.min() / 2, (columns.max() + 1) / 2, (rows.max() + 1) / 2)
            assert thing.box_xyxy_px == box
            assert thing.area_px == len(rows) / 4


def test_no_thing_of_an_asked_class_is_shown_without_annotation(
    crowded: list[tuple[Scene, Layer, list[SeenThing]]],
) -> None:
    for scene, layer, seen in crowded:
        classes = {thing.name for thing in seen}
        shown = {number - 1 for number in np.unique(np.asarray(layer.owners)) if number}
        assert {number for number in shown if scene.things[number].name in classes} == {thing.number for thing in seen}


def test_what_stands_on_a_removed_thing_goes_with_it(crowded: list[tuple[Scene, Layer, list[SeenThing]]]) -> None:
    scene = crowded[0][0]
    room = Scene("crowded", scene.camera, scene.room, scene.light)
    group = room.add_group(0.0, 0.0, 3.0, 0.0)
    items = [
        Item(name, (box((9.0, 9.0, 9.0), 0, 0, 0, 1.0, 1.0, 1.0),), 1.0, 1.0, 1.0) for name in ("table", "cup", "chair")
    ]
    table = room.add(group, items[0], True, 0.0, 0.0, 0.0, 0.0)
    room.add(group, items[1], True, 0.0, 1.0, 0.0, 0.0, rests_on=table)
    chair = room.add(group, items[2], True, 2.0, 0.0, 0.0, 0.0)
    room.remove({table})
    assert {part.owner for group in room.groups for part in group.parts} == {chair}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"occlusion": 0.02}, False),
        ({"truncation": 0.02}, False),
        ({"box_xyxy_px": (9.0, 9.0, 50.0, 50.0)}, False),
    ],
)
def test_a_simple_scene_shows_all_of_one_chair_of_fair_size(changes: dict, kept: bool) -> None:
    chair = SeenThing(0, "chair", (100.0, 50.0, 160.0, 150.0), area_px=3000.0, occlusion=0.0, truncation=0.0)
    seen = [dataclasses.replace(chair, **changes)]
    assert keeps_promise(seen, "simple", ("chair",), 240) is kept
    assert not keeps_promise([chair, chair], "simple", ("chair",), 240)


def test_empty_rooms_hold_furniture_but_nothing_of_the_asked_classes() -> None:
    for classes in (("chair",), ALL_CLASSES):
        names: set[str] = set()
        for seed in range(12):
            names |= {thing.name for thing in make_scene(Random(seed), "empty", (320, 240), classes)[0].things}
        assert len(names) > 5
        assert not names & set(classes)


def test_occlusion_and_truncation_are_shares_of_the_silhouette(
    crowded: list[tuple[Scene, Layer, list[SeenThing]]],
) -> None:
    cut = [
        (scene, layer, thing)
        for scene, layer, seen in crowded
        for thing in seen
        if thing.truncation > 0.05 and thing.occlusion > 0.05
    ]
    hidden = [(scene, layer, thing) for scene, layer, seen in crowded for thing in seen if thing.occlusion > 0.2]
    assert len(cut) > 1
    assert len(hidden) > 2
    for scene, layer, thing in cut[:2] + hidden[:3]:
        corners = (
            np.concatenate([np.reshape(p.corners, (-1, 2)) for p in layer.polygons if p.owner == thing.number]) / 2
        )
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        columns, rows = (axis.ravel() for axis in np.meshgrid(np.arange(left, right), np.arange(top, bottom)))
        within = (columns > 0) & (rows > 0) & (columns < scene.camera.width) & (rows < scene.camera.height)
        alone = first_hits(scene.only(thing.number), columns, rows) >= 0
        own = first_hits(scene, columns[within], rows[within]) == thing.number
        assert thing.occlusion == pytest.approx(1 - own.sum() / alone[within].sum(), abs=0.06)
        assert thing.truncation == pytest.approx(1 - alone[within].sum() / alone.sum(), abs=0.06)


def test_all_twelve_classes_occur_with_the_ids_of_coco(tmp_path: Path) -> None:
    official = {
        "bottle": 44, "cup": 47, "chair": 62, "couch": 63, "potted plant": 64, "bed": 65,
        "dining table": 67, "tv": 72, "laptop": 73, "book": 84, "clock": 85, "vase": 86,
    }  # fmt: skip
    names = {
        thing.name for seed in range(6) for thing in make_scene(Random(seed), "crowded", (320, 240), ALL_CLASSES)[2]
    }
    assert names == set(official)
    none = RoomsConfig(images=RoleCounts(0, 0, 0, 1), classes=ALL_CLASSES)
    categories = entries(generate_rooms(tmp_path / "all", none), "test")["categories"]
    assert {category["name"]: category["id"] for category in categories} == official


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_every_class_can_be_asked_for_alone(name: str) -> None:
    for difficulty, least, most in (("simple", 1, 1), ("crowded", 3, 8)):
        _, _, seen = make_scene(Random(1), difficulty, (320, 240), (name,))
        assert least <= len(seen) <= most
        assert {thing.name for thing in seen} == {name}


def test_an_interrupted_set_is_completed_to_the_same_bytes(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, drawn = tmp_path / "rooms", []
    make_image = generate._make_image

    def die_at_the_8th(folder: Path, config: RoomsConfig, role: str, index: int) -> dict:
        drawn.append((role, index))
        if len(drawn) == 8:
            (folder / "images" / "train_000007.jpg").write_bytes(b"half a file")
            raise KeyboardInterrupt
        return make_image(folder, config, role, index)

    monkeypatch.setattr(generate, "_make_image", die_at_the_8th)
    with pytest.raises(KeyboardInterrupt):
        generate_rooms(root, FEW)
    assert not (root / "annotations").exists()
    generate_rooms(root, FEW)
    assert drawn.count(("train", 3)) == 1, "a recorded chunk is not drawn again"
    assert drawn.count(("train", 7)) == 2
    assert files_of(root) == files_of(few)


def test_two_at_once_draw_every_image_once(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, drawn, begun = tmp_path / "rooms", [], threading.Event()
    make_image = generate._make_image

    def count(folder: Path, config: RoomsConfig, role: str, index: int) -> dict:
        drawn.append((role, index))
        begun.set()
        return make_image(folder, config, role, index)

    monkeypatch.setattr(generate, "_make_image", count)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(generate_rooms, root, FEW)
        assert begun.wait(30)
        second = pool.submit(generate_rooms, root, FEW)
        assert first.result() == second.result() == root
    assert len(drawn) == len(set(drawn)) == 11
    assert files_of(root) == files_of(few)


def test_rooms_that_another_makes_meanwhile_are_not_taken_for_foreign(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, exists = tmp_path / "rooms", Path.exists
    root.mkdir()

    def meanwhile(path: Path) -> bool:
        there = exists(path)
        if path == root / generate.MARKER and not there:
            monkeypatch.undo()
            generate_rooms(root, FEW)
        return there

    monkeypatch.setattr(Path, "exists", meanwhile)
    generate_rooms(root, FEW)
    assert files_of(root) == files_of(few)


def test_a_finished_set_is_reused(chairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_make_chunks", None)
    before = {path: path.stat().st_mtime_ns for path in chairs.rglob("*")}
    assert generate_rooms(chairs, CONFIG) == chairs
    assert {path: path.stat().st_mtime_ns for path in chairs.rglob("*")} == before


def test_a_folder_that_holds_something_else_is_refused(
    chairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="another config .*seed: 3 there, 5 asked"):
        generate_rooms(chairs, dataclasses.replace(CONFIG, seed=5))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"no rooms\.json"):
        generate_rooms(tmp_path, CONFIG)
    with pytest.raises(UserError, match="expected a folder"):
        generate_rooms(tmp_path / "notes.txt", CONFIG)
    (tmp_path / "rooms.json").write_text("[]")
    with pytest.raises(UserError, match="not a marker"):
        generate_rooms(tmp_path, CONFIG)
    monkeypatch.setattr(generate, "GENERATOR_VERSION", 999)
    with pytest.raises(UserError, match="version 1 of the generator, this is 999"):
        generate_rooms(chairs, CONFIG)


def test_an_unknown_class_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(UserError, match="no class 'chairs'; did you mean 'chair'"):
        RoomsConfig(classes=("chairs",))
    with pytest.raises(UserError, match="each class once"):
        RoomsConfig(classes=("chair", "chair"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: RoomsConfig(seed=-1), "seed must be"),
        (lambda: RoomsConfig(size_px=(320, 24)), "size_px must be"),
        (lambda: RoomsConfig(classes=()), "classes must name"),
        (lambda: RoleCounts(val=-2), "images.val must be"),
        (lambda: DifficultyMix(empty=0.5, simple=0.5, crowded=0.5), "difficulty_mix must be"),
    ],
)
def test_numbers_out_of_range_name_their_key(wrong, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_rays_run_through_the_pixels_that_points_on_them_project_to() -> None:
    camera = Camera(0.4, 1.5, 0.1, yaw=0.3, pitch=0.2, roll=0.05, focal_px=250.0, width=40, height=30)
    points = np.array([0.4, 1.5, 0.1]) + 3.0 * np.moveaxis(camera.rays(), 0, -1)
    columns, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    seen = camera.project(points)
    assert seen[..., 0] == pytest.approx(columns, abs=1e-3)
    assert seen[..., 1] == pytest.approx(rows, abs=1e-3)
    assert seen[..., 2] == pytest.approx(3.0, abs=1e-4)
    assert camera.project_point(*points[7, 9].tolist()) == pytest.approx(seen[7, 9].tolist())
