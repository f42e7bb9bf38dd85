import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_exit.data import read_image
from cascade_exit.data.images import check_header
from cascade_exit.runs.errors import UserError

# Red on the left, blue on the right; taller than wide, so that turns show.
STORED = np.zeros((40, 24, 3), dtype=np.uint8)
STORED[:, :12] = (250, 0, 0)
STORED[:, 12:] = (0, 0, 250)


def _with_orientation(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(STORED).save(path, exif=exif, quality=95, subsampling=0)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp"])
def test_colours_keep_their_places_in_every_format(tmp_path: Path, name: str) -> None:
    Image.fromarray(STORED).save(tmp_path / name, quality=95)
    read = read_image(tmp_path / name, (40, 24))
    assert read.shape == (40, 24, 3)
    np.testing.assert_allclose(read[:, 2:10], STORED[:, 2:10], atol=12)
    np.testing.assert_allclose(read[:, 14:22], STORED[:, 14:22], atol=12)


def test_grey_has_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == grey[:, :, None]).all()


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray((grey.astype(np.uint16) << 8) + 7).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png") == grey[:, :, None]).all()


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(STORED).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    read = read_image(tmp_path / "print.jpg", (40, 24))
    np.testing.assert_allclose(read[:, 2:10], STORED[:, 2:10], atol=12)
    np.testing.assert_allclose(read[:, 14:22], STORED[:, 14:22], atol=12)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    palette = Image.fromarray(STORED).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    red = palette.getpixel((0, 0))
    palette.save(tmp_path / "palette.png", transparency=red)
    rgba = np.concatenate([STORED, np.full((40, 24, 1), 255, np.uint8)], axis=2)
    rgba[:, :12, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        read = read_image(tmp_path / name)
        assert (read[:, :12] == 255).all()
        assert (read[:, 12:] == (0, 0, 250)).all()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, STORED),
        (2, STORED[:, ::-1]),
        (3, STORED[::-1, ::-1]),
        (4, STORED[::-1]),
        (5, STORED.transpose(1, 0, 2)),
        (6, np.rot90(STORED, -1)),
        (7, STORED[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(STORED)),
    ],
)
def test_exif_orientation_is_applied_when_the_annotation_has_the_displayed_size(
    tmp_path: Path, orientation: int, upright: np.ndarray
) -> None:
    path = _with_orientation(tmp_path / "turned.jpg", orientation)
    for size in (upright.shape[:2], None):
        read = read_image(path, size)
        assert read.shape == upright.shape
        # Chroma rings at the edge between the two colours; the middle of each half does not.
        assert np.median(np.abs(read.astype(int) - upright)) < 12
        assert (np.abs(read.astype(int) - upright).max(axis=2) < 40).mean() > 0.9


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_exif_orientation_is_ignored_when_the_annotation_has_the_stored_size(tmp_path: Path, orientation: int) -> None:
    path = _with_orientation(tmp_path / "turned.jpg", orientation)
    np.testing.assert_allclose(read_image(path, (40, 24))[:, 2:10], STORED[:, 2:10], atol=12)


def test_a_file_always_gives_the_same_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    assert (read_image(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg", (50, 70))).all()


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"<html>not found</html>", "not an image"),
        (_jpeg()[:900], "truncated"),
        (_png()[:600], "cannot be decoded"),
        (_png()[:20], "cannot be decoded|not an image"),
        (_jpeg()[:20], "cannot be decoded|not an image"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("look", [read_image, check_header])
def test_another_size_than_annotated_is_refused(tmp_path: Path, look: object) -> None:
    Image.fromarray(STORED).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="is 24x40 pixels, but the annotation says 25x40"):
        look(tmp_path / "a.png", (40, 25))


def test_a_folder_in_place_of_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be decoded"):
        read_image(tmp_path)
