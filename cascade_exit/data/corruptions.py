"""Photos made worse: blur, noise and JPEG, each at three severities, always to the same pixels."""

import io
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torchvision.transforms.v2 import functional as transform

from cascade_exit.data.randomness import derive_seed
from cascade_exit.data.record import ImageRecord
from cascade_exit.data.store import ImageStore

Pixels = UInt8[np.ndarray, "height width 3"]
Corruption = Literal["blur", "noise", "jpeg"]
KINDS: tuple[Corruption, ...] = get_args(Corruption)
SEVERITIES = (1, 2, 3)
# As a share of the longer side, so that it means the same for photos of any size.
BLUR_SIGMAS_PER_SIDE = (0.003, 0.006, 0.012)
# In grey levels.
NOISE_SIGMAS = (10.0, 20.0, 40.0)
JPEG_QUALITIES = (30, 15, 7)


def blur(image: Pixels, sigma_px: float) -> Pixels:
    """Gaussian blur; beyond the border the photo is mirrored."""
    smallest = min(image.shape[:2])
    # Beyond three deviations the kernel is nothing to 8 bits; mirroring needs it within the photo.
    reach = max(1, min(int(np.ceil(3 * sigma_px)), smallest - 1))
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    blurred = transform.gaussian_blur(pixels, [2 * reach + 1] * 2, [sigma_px] * 2)
    return blurred.numpy().transpose(1, 2, 0)


def noise(image: Pixels, sigma: float, seed: int) -> Pixels:
    """Gaussian noise of a standard deviation in grey levels, on each colour by itself, cut off at black and white."""
    drawn = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return (image + drawn).round().clip(0, 255).astype(np.uint8)


def jpeg(image: Pixels, quality: int) -> Pixels:
    """What is left after saving as JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=quality)
    with Image.open(file) as saved:
        return np.array(saved.convert("RGB"))


def corrupt(image: Pixels, kind: Corruption, severity: int, seed: int) -> Pixels:
    """A photo made worse.

    Args:
        image: RGB.
        kind: in which way.
        severity: how much, from 1 to 3.
        seed: of the noise.
    """
    place = SEVERITIES.index(severity)
    ways: dict[Corruption, Callable[[], Pixels]] = {
        "blur": lambda: blur(image, BLUR_SIGMAS_PER_SIDE[place] * max(image.shape[:2])),
        "noise": lambda: noise(image, NOISE_SIGMAS[place], seed),
        "jpeg": lambda: jpeg(image, JPEG_QUALITIES[place]),
    }
    return ways[kind]()


class CorruptedStore(ImageStore):
    """Gives the images of another store, made worse; the noise of an image is a function of its id.

    Args:
        store: where the images come from.
        kind: in which way.
        severity: how much, from 1 to 3.
    """

    def __init__(self, store: ImageStore, kind: Corruption, severity: int) -> None:
        super().__init__(cache=False)
        self.store, self.kind, self.severity = store, kind, severity

    def read(self, record: ImageRecord) -> Pixels:
        """The image's pixels, made worse; see `ImageStore.read`."""
        seed = derive_seed("corruption", self.kind, record.image_id)
        return corrupt(self.store.read(record), self.kind, self.severity, seed)
