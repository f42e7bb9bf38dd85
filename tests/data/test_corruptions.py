"""Corruptions against closed forms and Pillow's own round trip."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_exit.data import CorruptedStore, ImageRecord, ImageStore
from cascade_exit.data.corruptions import JPEG_QUALITIES, NOISE_SIGMAS, blur, corrupt, jpeg, noise

GREY = np.full((120, 160, 3), 128, np.uint8)


def photo(height: int = 90, width: int = 120) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_blur_keeps_what_is_even_and_the_mean() -> None:
    assert np.array_equal(blur(GREY, 4.0), GREY)
    point = np.zeros((61, 61, 3), np.uint8)
    point[30, 30] = 255
    spread = blur(point, 1.0).astype(float)
    # A point becomes the Gaussian itself: its peak is 255 / (2 pi), one step away 255 exp(-1/2) / (2 pi).
    assert spread[30, 30, 0] == pytest.approx(255 / (2 * np.pi), abs=1)
    assert spread[30, 31, 1] == pytest.approx(255 / (2 * np.pi) * np.exp(-0.5), abs=1)
    image = photo()
    assert blur(image, 2.0).mean() == pytest.approx(image.mean(), abs=1.5)
    assert blur(image, 4.0).std() < blur(image, 2.0).std() < image.std()


def test_blur_of_an_edge_has_the_stated_width() -> None:
    edge = np.zeros((40, 200, 3), np.uint8)
    edge[:, 100:] = 200
    profile = blur(edge, 5.0)[20, :, 0].astype(float) / 200
    # The slope of a blurred edge is the Gaussian: its deviation in px is the sigma.
    slope = np.diff(profile)
    places = np.arange(slope.size)
    mean = (slope * places).sum()
    assert np.sqrt((slope * (places - mean) ** 2).sum()) == pytest.approx(5.0, rel=0.06)


def test_noise_has_the_stated_deviation() -> None:
    for sigma in (5.0, 20.0):
        difference = noise(GREY, sigma, 7).astype(float) - 128
        # Rounding to whole grey levels adds a twelfth to the variance.
        assert difference.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02)
        assert abs(difference.mean()) < 5 * sigma / np.sqrt(difference.size)
        assert abs(np.corrcoef(difference[..., 0].ravel(), difference[..., 1].ravel())[0, 1]) < 0.03


def test_noise_is_cut_off_rather_than_wrapped() -> None:
    white = noise(np.full((50, 50, 3), 255, np.uint8), 10.0, 1)
    assert white.min() > 150
    assert (white == 255).mean() == pytest.approx(0.5, abs=0.05)


def test_jpeg_is_pillow_s_round_trip() -> None:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", quality=20)
    assert np.array_equal(jpeg(photo(), 20), np.asarray(Image.open(file)))


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg"])
def test_each_severity_is_worse_than_the_one_before(kind) -> None:
    image = photo(240, 320)
    errors = [np.abs(corrupt(image, kind, severity, 3).astype(int) - image).mean() for severity in (1, 2, 3)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_severities_are_the_stated_ones() -> None:
    image = photo()
    assert np.array_equal(corrupt(image, "noise", 2, 5), noise(image, NOISE_SIGMAS[1], 5))
    assert np.array_equal(corrupt(image, "jpeg", 3, 5), jpeg(image, JPEG_QUALITIES[2]))
    assert np.array_equal(corrupt(image, "blur", 1, 5), blur(image, 0.003 * 120))


def test_a_tiny_photo_is_blurred_within_itself() -> None:
    assert blur(photo(3, 200), 2.4).shape == (3, 200, 3)


def test_store_gives_the_same_noise_each_time_and_other_noise_to_other_images(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    nothing = np.zeros(0, np.int64)
    records = [
        ImageRecord(
            image_id,
            tmp_path / "grey.png",
            160,
            120,
            "",
            np.zeros((0, 4), np.float32),
            nothing,
            nothing.astype(bool),
            nothing.astype(np.float32),
        )
        for image_id in (1, 2)
    ]
    store = CorruptedStore(ImageStore(), "noise", 1)
    first, again, other = store.read(records[0]), store.read(records[0]), store.read(records[1])
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() == pytest.approx(NOISE_SIGMAS[0], rel=0.05)
    assert np.array_equal(ImageStore().read(records[0]), GREY)
