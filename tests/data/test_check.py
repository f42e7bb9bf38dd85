from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cascade_exit.data.store as store_module
from cascade_exit.data import ImageRecord, ImageStore, check_images
from cascade_exit.runs.errors import UserError

from .scenes import paint, record


def _records(folder: Path, count: int) -> list[ImageRecord]:
    records = []
    for number in range(1, count + 1):
        path = folder / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        records.append(record(path, (30, 40), image_id=number))
    return records


def test_sound_images_pass(tmp_path: Path) -> None:
    for depth in ("decode", "header"):
        check_images(_records(tmp_path, 5), ImageStore(), depth, workers=2)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_broken_image_is_named_and_the_rest_counted(tmp_path: Path, workers: int) -> None:
    records = _records(tmp_path, 6)
    records[1].path.unlink()
    records[3].path.write_bytes(records[3].path.read_bytes()[:-1000])
    records[4].path.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        check_images(records, ImageStore(), workers=workers)
    expected = f"image id 2, {records[1].path}: file does not exist; and 2 more image(s) with problems"
    assert str(caught.value) == expected


def test_one_broken_image_has_no_rest(tmp_path: Path) -> None:
    records = _records(tmp_path, 2)
    records[1].path.write_bytes(records[1].path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"^image id 2, .*2.png: cannot be decoded \(.*\)$"):
        check_images(records, ImageStore())
    check_images(records, ImageStore(), "header")


def test_headers_show_wrong_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(paint(30, 40, [])).save(path)
    with pytest.raises(UserError, match="is 40x30 pixels, but the annotation says 40x31"):
        check_images([record(path, (31, 40))], ImageStore(), "header")


@pytest.mark.parametrize("depth", ["decode", "header"])
def test_a_caching_store_decodes_once(tmp_path: Path, depth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    read = store_module.read_image
    monkeypatch.setattr(store_module, "read_image", lambda path, size: decoded.append(path) or read(path, size))
    records, store = _records(tmp_path, 3), ImageStore(cache=True)
    check_images(records, store, depth, workers=2)
    assert sorted(decoded) == [image_record.path for image_record in records]
    for image_record in records:
        assert (store.read(image_record) == read(image_record.path)).all()
    assert len(decoded) == len(records)


def test_a_plain_store_keeps_nothing(tmp_path: Path) -> None:
    records, store = _records(tmp_path, 1), ImageStore()
    check_images(records, store)
    records[0].path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        store.read(records[0])


def test_stored_pixels_cannot_be_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        ImageStore(cache=True).read(_records(tmp_path, 1)[0])[0, 0, 0] = 1


def test_a_cache_larger_than_the_memory_is_refused() -> None:
    huge = record(Path("a.png"), (10**6, 10**8))
    with pytest.raises(UserError, match="data.cache=true needs 300000.0 GB .* set data.cache=false"):
        check_images([huge], ImageStore(cache=True))
