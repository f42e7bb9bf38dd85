import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from cascade_exit.data import ROLES, load_roles, open_images
from cascade_exit.data.coco_subset import DownloadConfig, build_subset
from cascade_exit.data.coco_subset.config import ANNOTATIONS_SHA256
from cascade_exit.data.coco_subset.fetch import Fetcher
from cascade_exit.data.coco_subset.images import WantedImage
from cascade_exit.runs.errors import UserError

from .coco_place import Place
from .web import ARCHIVE, HTML, Act, archive, jpeg, small_coco


def test_only_the_images_of_the_set_are_fetched_once_each(place: Place) -> None:
    place.build()
    assert place.fetched() == sorted(place.addresses)
    assert len(place.addresses) == 2 * 20 + 8 + 5  # of 120
    place.assert_whole()
    place.build()
    assert place.web.requests == []


def test_the_set_is_read_like_any_other(place: Place) -> None:
    sets = load_roles(place.data())
    open_images(sets.values(), place.data())
    place.assert_whole()
    assert sum(map(len, sets.values())) == len(place.addresses)
    assert {role: images.fingerprint for role, images in sets.items()} == {
        role: facts["fingerprint"] for role, facts in place.record["chosen"]["roles"].items()
    }


def test_roles_come_from_the_parts_that_may_feed_them(place: Place) -> None:
    place.build()
    for role in ROLES:
        part = "train2017" if role in ("train", "val") else "val2017"
        assert {entry["file_name"].split("/")[0] for entry in place.role(role)["images"]} == {part}


def test_classes_sizes_and_negatives_have_their_shares(place: Place) -> None:
    place.build()
    shares = place.config.shares
    for first, second in (("train", "val"), ("calibrate", "test")):
        share = shares.of(second) / (shares.of(first) + shares.of(second))
        strata: dict[str, Counter[Any]] = {first: Counter(), second: Counter()}
        for role, found in strata.items():
            content = place.role(role)
            kind = {entry["image_id"]: (entry["category_id"], entry["area"]) for entry in content["annotations"]}
            found.update(kind.get(entry["id"]) for entry in content["images"])
        both = strata[first] + strata[second]
        assert len(both) == 1 + 2 * 3  # negatives; two classes of three sizes
        for stratum, count in both.items():
            assert abs(strata[second][stratum] - count * share) < 1
        per_class = 12 if first == "train" else 8
        assert [sum(both[key] for key in both if key and key[0] == label) for label in (62, 18)] == [per_class] * 2
        assert both[None] == round(2 * per_class / 3)  # a quarter of all


def test_the_files_are_coco_s_and_keep_what_was_published(place: Place) -> None:
    place.build()
    for role in ROLES:
        part = "train2017" if role in ("train", "val") else "val2017"
        published = {entry["id"]: entry for entry in place.coco[part]["images"]}
        read = COCO(place.root / "annotations" / f"{role}.json")
        assert [category["name"] for category in read.loadCats(read.getCatIds())] == ["chair", "dog"]
        assert place.role(role)["licenses"] == place.coco[part]["licenses"]
        for image_id in read.getImgIds():
            (entry,) = read.loadImgs(image_id)
            original = published[image_id]
            assert entry["coco_url"] == original["coco_url"]
            assert entry["license"] == original["license"]
            assert entry["file_name"] == f"{part}/{original['file_name']}"
            assert (entry["original_width"], entry["original_height"]) == (original["width"], original["height"])
            ours = {key["id"]: key for key in read.loadAnns(read.getAnnIds(image_id))}
            theirs = {
                key["id"]: {name: value for name, value in key.items() if name != "segmentation"}
                for key in place.coco[part]["annotations"]
                if key["image_id"] == image_id and key["category_id"] in (62, 18)
            }
            assert ours == theirs


def test_crowds_are_kept_and_boxes_without_area_are_not(place: Place) -> None:
    for content in place.coco.values():
        for entry in content["annotations"]:
            if entry["category_id"] == 1:  # persons: crowds of chairs, or chairs of no width as COCO has some
                flat = entry["image_id"] % 8 < 4
                entry.update(category_id=62, iscrowd=0 if flat else 1)
                if flat:
                    entry["bbox"][2] = 0.0
        chair, crowd = next(entry for entry in content["annotations"]), dict(content["annotations"][0])
        content["annotations"] += [
            {**crowd, "id": 10**6 + entry["id"], "iscrowd": 1, "image_id": entry["id"]}
            for entry in content["images"]
            if entry["id"] % 4 == chair["image_id"] % 4
        ]
    place.web.files[ARCHIVE] = archive(place.coco)
    sets = load_roles(place.data())
    records = [record for images in sets.values() for record in images.records]
    assert any(record.crowd.any() for record in records)
    # An image of a crowd alone, or of a flat chair alone, is neither a chair's nor a negative.
    assert all(not record.crowd.all() or not len(record.crowd) for record in records)
    unusable = place.record["chosen"]["unusable_annotations"]
    assert {part: len(ids) for part, ids in unusable.items()} == {"train2017": 10, "val2017": 5}
    assert not {record.image_id for record in records} & {
        entry["image_id"]
        for part, ids in unusable.items()
        for entry in place.coco[part]["annotations"]
        if entry["id"] in ids
    }


def test_the_order_of_the_published_files_changes_nothing(place: Place, tmp_path: Path) -> None:
    place.build()
    chosen = place.record["chosen"]
    for content in place.coco.values():
        content["images"].reverse()
        content["annotations"].reverse()
    place.web.files[ARCHIVE] = archive(place.coco)
    again = Place.__new__(Place)
    again.web, again.root = place.web, tmp_path / "other"
    again.config = replace(place.config, downloads=str(tmp_path / "other_downloads"))
    build_subset(again.root, again.config)
    for role in ROLES:
        ids = [[entry["id"] for entry in each.role(role)["images"]] for each in (place, again)]
        assert ids[0] == ids[1] == sorted(ids[0])
    assert again.record["chosen"]["roles"]["test"]["images_with"] == chosen["roles"]["test"]["images_with"]


def test_fewer_than_asked_for_is_on_record(place: Place) -> None:
    place.build(images_per_class=60)
    assert place.record["chosen"]["fewer_than_asked"] == [
        "chair: 20 of 36 images in train2017",
        "dog: 20 of 36 images in train2017",
        "chair: 10 of 24 images in val2017",
        "dog: 10 of 24 images in val2017",
    ]


def test_an_unknown_class_brings_up_the_nearest(place: Place) -> None:
    with pytest.raises(UserError, match=r"instances_train2017.json: has no class 'chiar'; did you mean 'chair'\?"):
        place.build(classes=("chiar",))


def test_a_missing_and_a_broken_image_are_fetched_again(place: Place) -> None:
    place.build()
    names = sorted(place.addresses)
    files = [place.downloads / name[1:] for name in names]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-200])  # cut
    files[2].write_bytes(HTML)
    files[3].write_bytes(files[4].read_bytes())  # another's, of another size
    place.fetched()
    place.build()
    assert place.fetched() == []  # a finished set is taken as it is
    place.build(verify=True)
    assert place.fetched() == names[:4]
    place.assert_whole()


def test_misbehaviour_is_overcome(place: Place) -> None:
    annotations = small_coco(place.web.url)
    names = [f"/{part}/{entry['file_name']}" for part, content in annotations.items() for entry in content["images"]]
    acts = [
        Act(drop_after=500),
        Act(claim=300),
        Act(claim=-300),
        Act(body=HTML),
        Act(status=500),
        Act(429, {"Retry-After": "3"}),
        Act(unannounced=True, drop_after=900),
    ]
    for number, name in enumerate(names):
        place.web.acts[name] = [acts[number % 7], acts[(number + 1) % 7]]
    place.web.acts[ARCHIVE] = [Act(drop_after=1000), Act(body=HTML)]
    place.build()
    place.assert_whole()


def test_images_that_cannot_be_had_are_listed_and_only_they_are_asked_for_again(place: Place) -> None:
    place.build()
    gone = sorted(place.addresses)[:7]
    for name in gone:
        (place.downloads / name[1:]).unlink()
        place.web.always[name] = Act(status=404 if name != gone[1] else 503)
    with pytest.raises(UserError) as caught:
        place.build(verify=True)
    lines = str(caught.value).splitlines()
    total = len(place.addresses)
    assert lines[0].startswith(f"7 of {total} images could not be fetched into {place.downloads}; the same command")
    assert lines[1] == f"image id {int(gone[0][-16:-4])}: {place.web.url}{gone[0]}: 404 Not Found"
    assert lines[2].endswith("503 Service Unavailable (3 tries)")
    assert lines[-1] == "… and 2 more"
    assert len(lines) == 7
    assert not place.record["finished"]
    place.fetched()
    place.web.always.clear()
    place.build()
    assert place.fetched() == gone
    place.assert_whole()


def test_a_server_that_is_down_is_left_alone_soon(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cascade_exit.data.coco_subset.images._HOPELESS_IN_A_ROW", 5)
    place.web.always |= {name: Act(status=404) for name in place.web.files if name.endswith(".jpg")}
    with pytest.raises(UserError, match="^5 of "):
        place.build()
    assert len(place.fetched()) < 20


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Act(status=404), "404 Not Found$"),
        (Act(body=HTML), r"is a broken archive \(File is not a zip file\) \(3 tries\)$"),
        (Act(body=archive({})), "is not COCO's archive of annotations: .*instances_train2017.json"),
    ],
)
def test_an_archive_that_cannot_be_had_is_one_line(place: Place, broken: Act, message: str) -> None:
    place.web.always[ARCHIVE] = broken
    with pytest.raises(UserError, match=message):
        place.build()
    assert not list(place.downloads.rglob("*.json"))
    place.web.always.clear()
    place.build()
    place.assert_whole()


def test_a_member_with_a_wrong_checksum_is_not_believed(place: Place) -> None:
    content = bytearray(place.web.files[ARCHIVE])
    start = content.find(b"instances_val2017.json") + 500  # within the packed bytes
    content[start] ^= 0xFF
    place.web.acts[ARCHIVE] = [Act(body=bytes(content))]
    place.build()
    assert len([path for path, _ in place.web.requests if path == ARCHIVE]) == 2
    place.assert_whole()


def test_a_known_checksum_is_verified(place: Place) -> None:
    wrong = replace(place.config.download, annotations_sha256="0" * 64)
    with pytest.raises(UserError, match=f"SHA-256 is [0-9a-f]{{64}}, expected {'0' * 64}"):
        place.build(download=wrong)


def test_an_archive_leaves_nothing_but_the_two_files(place: Place, tmp_path: Path) -> None:
    place.web.files[ARCHIVE] = archive(place.coco, **{"/tmp/evil.txt": "x", "annotations/../../../evil.txt": "x"})
    place.build()
    outside = [path for path in tmp_path.rglob("*") if "evil" in path.name or "captions" in path.name]
    assert outside == []
    assert sorted(path.name for path in (place.downloads / "annotations").iterdir()) == [
        "instances_train2017.json",
        "instances_val2017.json",
    ]


@pytest.mark.parametrize("name", ["../../evil.jpg", "..", "a\0.jpg", "a" * 300 + ".jpg"])
def test_a_name_that_leads_out_of_the_folder_or_is_none_is_refused(place: Place, name: str) -> None:
    place.coco["train2017"]["images"][0]["file_name"] = name
    place.web.files[ARCHIVE] = archive(place.coco)
    with pytest.raises(UserError, match="image id 1: 'file_name' must be the name of a file"):
        place.build()


def test_room_for_all_of_it_is_checked_before_the_archive(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cascade_exit.data.coco_subset.space.shutil.disk_usage", lambda _: type("Usage", (), {"free": 725_000_000})
    )
    # 0.722 GB of annotations, and 35 images: a quarter of all are negatives, and some hold both classes.
    message = (
        r"COCO's annotations and about 35 images needs 0.73 GB and the disk has 0.72 GB left: make room, or choose"
    )
    with pytest.raises(UserError, match=message):
        place.build()
    assert place.web.requests == []


def test_images_come_several_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(place.config.download.parallel, timeout=20)
    waiting, bring = iter(range(place.config.download.parallel)), WantedImage.bring

    def bring_together(image: WantedImage, fetcher: Fetcher) -> None:
        if next(waiting, None) is not None:
            together.wait()  # never passed by less threads than may fetch
        bring(image, fetcher)

    monkeypatch.setattr(WantedImage, "bring", bring_together)
    place.build()
    place.assert_whole()


def test_the_checksum_of_coco_s_own_archive_is_known(place: Place) -> None:
    assert DownloadConfig().known_sha256 == ANNOTATIONS_SHA256
    assert DownloadConfig(annotations_sha256="0" * 64).known_sha256 == "0" * 64
    assert place.config.download.known_sha256 is None


def test_a_broken_annotation_file_of_the_set_is_made_again(place: Place) -> None:
    place.build()
    path = place.root / "annotations" / "test.json"
    whole = path.read_bytes()
    for broken in (whole[:1000], whole.replace(b'"height":', b'"height":1', 1)):
        path.write_bytes(broken)
        place.build(verify=True)
        assert path.read_bytes() == whole
    place.assert_whole()


def test_a_broken_annotation_file_of_coco_is_fetched_again(place: Place, tmp_path: Path) -> None:
    place.build()
    path = place.downloads / "annotations" / "instances_val2017.json"
    path.write_bytes(path.read_bytes()[:1000])
    place.root = tmp_path / "another"
    with pytest.raises(
        UserError, match=r"instances_val2017.json: is broken JSON .*; data.build=true fetches it again$"
    ):
        place.build()
    place.build(verify=True)
    place.assert_whole()


def test_who_finds_an_image_missing_is_told_what_fetches_it(place: Place) -> None:
    place.build()
    sorted(place.downloads.rglob("*.jpg"))[0].unlink()
    with pytest.raises(UserError, match=r"does not exist.*; data.build=true fetches what is missing or broken$"):
        open_images(load_roles(place.data()).values(), place.data())


def test_room_is_checked_before_the_images(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.build()
    for path in list(place.downloads.rglob("*.jpg"))[:10]:
        path.unlink()
    place.fetched()
    monkeypatch.setattr(
        "cascade_exit.data.coco_subset.space.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})
    )
    message = r"10 images of about 165 kB needs 0.00 GB and the disk has 0.00 GB left: make room, or choose another"
    with pytest.raises(UserError, match=message):
        place.build(verify=True)
    assert place.fetched() == []


def test_every_image_is_what_was_published(place: Place) -> None:
    place.build()
    entries = [entry for content in place.coco.values() for entry in content["images"]]
    sample = next(entry for entry in entries if f"/train2017/{entry['file_name']}" in place.addresses)
    assert (place.downloads / "train2017" / sample["file_name"]).read_bytes() == jpeg(sample)


def test_a_model_of_fewer_classes_reads_the_same_images(place: Place) -> None:
    sets = load_roles(place.data())
    chairs = load_roles(place.data(classes=("chair",)))
    for role in ROLES:
        assert [record.image_id for record in chairs[role].records] == [key.image_id for key in sets[role].records]
        assert sum(len(key.labels) for key in chairs[role].records) < sum(len(key.labels) for key in sets[role].records)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"subset": None}, "subset must be given when name is 'coco_subset'"),
        ({"name": "coco", "build": True}, "build must be false when name is 'coco'"),
    ],
)
def test_what_does_not_go_together_is_refused(place: Place, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place.data(**more)
