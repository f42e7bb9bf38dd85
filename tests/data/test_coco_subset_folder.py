"""Whose folder it is, and what is in it already: other sets, other processes, what was cut off."""

import multiprocessing
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cascade_exit.data import load_roles, open_images
from cascade_exit.data.coco_subset import DownloadConfig, SubsetConfig, build_subset
from cascade_exit.runs.errors import UserError
from cascade_exit.runs.identity import identity_of

from .coco_place import SETTINGS, Place
from .web import ARCHIVE, Act, unpack


def test_a_folder_of_coco_s_own_is_used_in_place(place: Place, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    unpack(theirs, place.coco)
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    place.config = replace(place.config, coco_root=str(theirs))
    sets = load_roles(place.data())
    open_images(sets.values(), place.data())
    records = [record for images in sets.values() for record in images.records]
    assert all(record.path.is_relative_to(theirs) for record in records)
    assert {path: path.stat().st_mtime_ns for path in theirs.rglob("*")} == before
    assert place.web.requests == []
    assert not place.downloads.exists()
    # The same images as fetched ones: the same fingerprint, the same run.
    fetched = SubsetConfig(**SETTINGS, downloads=str(place.downloads), download=place.config.download)
    other = replace(place.data(), root=str(tmp_path / "other"), subset=fetched)
    assert load_roles(other)["test"].fingerprint == sets["test"].fingerprint
    assert identity_of(other) == identity_of(place.data())


def test_a_folder_that_is_used_in_place_must_be_complete(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/annotations/instances_train2017.json: does not exist"):
        place.build(coco_root=str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    unpack(tmp_path / "theirs", place.coco)
    for path in (tmp_path / "theirs" / "val2017").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"data.subset.coco_root=.*theirs: \d+ of \d+ images are not there, the first"):
        place.build(coco_root=str(tmp_path / "theirs"))


def test_images_of_a_folder_used_in_place_are_looked_at_where_asked(place: Place, tmp_path: Path) -> None:
    unpack(tmp_path / "theirs", place.coco)
    place.config = replace(place.config, coco_root=str(tmp_path / "theirs"))
    place.build()
    entry = place.role("train")["images"][0]
    broken = tmp_path / "theirs" / entry["file_name"]
    broken.write_bytes(broken.read_bytes()[:-200])
    place.build()
    with pytest.raises(UserError, match=rf"1 of \d+ images are broken, the first is {broken} \(.*never written to"):
        place.build(verify=True)


def test_a_set_that_was_never_chosen_leaves_its_folder_to_other_settings(place: Place) -> None:
    with pytest.raises(UserError, match="has no class 'sofaa'"):
        place.build(classes=("chair", "sofaa"))
    place.build()
    place.assert_whole()


def test_a_folder_of_coco_s_own_is_no_place_for_a_set(place: Place, tmp_path: Path) -> None:
    unpack(tmp_path / "theirs", place.coco)
    with pytest.raises(UserError, match="is a folder of COCO's own; give it as data.subset.coco_root="):
        build_subset(tmp_path / "theirs", place.config)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"images_per_class": 21}, "other settings: images_per_class (21, there 20); remove the folder"),
        ({"classes": ("chair",)}, 'other settings: classes.1 (absent, there "dog"); remove'),
        ({"salt": "mine"}, 'other settings: salt ("mine", there "coco2017"); remove'),
    ],
)
def test_a_changed_setting_is_noticed(place: Place, more: dict[str, Any], message: str) -> None:
    place.build()
    for verify in (False, True):
        with pytest.raises(UserError) as caught:
            place.build(verify, **more)
        assert message in str(caught.value)
    assert place.record["finished"]


def test_how_it_is_fetched_is_no_setting_of_the_set(place: Place, tmp_path: Path) -> None:
    place.build()
    place.fetched()
    place.build(download=DownloadConfig(parallel=1, annotations_url="http://127.0.0.1:9/elsewhere.zip"))
    assert place.web.requests == []
    # Another place for the images is gone through again: they have to be there.
    place.build(downloads=str(tmp_path / "elsewhere"))
    assert place.fetched() == sorted(place.addresses)


def test_two_sets_share_what_they_fetch(place: Place, tmp_path: Path) -> None:
    place.build()
    first = place.addresses
    place.fetched()
    place.root, place.config = tmp_path / "chairs", replace(place.config, classes=("chair",), images_per_class=30)
    place.build()
    asked = [path for path, _ in place.web.requests]
    assert ARCHIVE not in asked
    assert sorted(asked) == sorted(place.addresses - first)


def test_a_foreign_folder_is_refused(place: Place) -> None:
    place.root.mkdir()
    (place.root / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"set: holds files but no build.json; choose an empty folder"):
        place.build()
    assert place.web.requests == []


def test_two_that_come_at_once_make_one_set(place: Place) -> None:
    errors: list[BaseException] = []

    def build() -> None:
        try:
            place.build()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert place.fetched() == sorted(place.addresses)
    place.assert_whole()


def test_a_set_that_another_makes_meanwhile_is_not_taken_for_foreign(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists

    def meanwhile(path: Path) -> bool:
        there = exists(path)
        if path == place.root / "build.json" and not there:
            monkeypatch.undo()
            place.build()
        return there

    monkeypatch.setattr(Path, "exists", meanwhile)
    place.build()
    assert place.fetched() == sorted(place.addresses)
    place.assert_whole()


def test_killed_at_any_moment_the_same_call_goes_on(place: Place) -> None:
    place.web.acts[ARCHIVE] = [Act(drip_s=0.001)]  # so that it is killed within
    for moment in (1, 1, 2, 5, 9, 20):
        place.web.requests.clear()
        process = multiprocessing.get_context("fork").Process(target=place.build)
        place.web.notice = lambda count, process=process, moment=moment: count == moment and process.kill()
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        for path in place.downloads.rglob("[!.]*.jpg"):
            assert path.read_bytes() == place.web.files[f"/{path.relative_to(place.downloads)}"]
        assert not place.record["finished"]
    place.web.requests.clear()
    place.web.notice = lambda _: None
    place.build()
    assert len(place.fetched()) < len(place.addresses)
    place.downloads.joinpath(".lock").unlink()
    assert [path for path in place.downloads.rglob(".*")] == []
    place.assert_whole()
