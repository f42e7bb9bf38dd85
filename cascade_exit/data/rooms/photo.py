"""From a clean picture to a photograph: light falloff, colour cast, blur, sensor noise, JPEG."""

import io
import math
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from cascade_exit.data.rooms.scene import Light


def expose(picture: np.ndarray, light: Light, rng: Random) -> Image.Image:
    """Light a picture unevenly, tint it, blur it and add noise.

    Args:
        picture: ``[height, width, 3]`` float32 from 0 to 255.
        light: Tint, exposure and gradient.
        rng: Decides contrast, blur and noise.

    Returns:
        An RGB image.
    """
    height, width, _ = picture.shape
    gains = np.array(light.tint, dtype=np.float32) * np.float32(light.exposure)
    lit = picture * (_gradient(light, width, height)[..., None] * gains)
    contrast, pivot = np.float32(rng.uniform(0.85, 1.15)), np.float32(118)
    lit = (lit - pivot) * contrast + pivot + np.float32(rng.uniform(-8, 8))
    blurred = _blur(Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)), rng)
    noisy = np.asarray(blurred) + _noise(width, height, rng)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def to_jpeg(image: Image.Image, rng: Random) -> bytes:
    """Encode with a random quality, mostly good, now and then poor."""
    quality = rng.randint(78, 95) if rng.random() < 0.7 else rng.randint(45, 77)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def _gradient(light: Light, width: int, height: int) -> np.ndarray:
    """A smooth map of gains around 1: a few random lights and shades, and darker corners."""
    coarse = np.random.default_rng(light.gradient_seed).uniform(-1, 1, (3, 4)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    corners = (x * x)[None, :] + (y * y)[:, None]
    shade = np.float32(0.25 * light.gradient)
    return np.asarray(1 + np.float32(light.gradient) * np.asarray(smooth) - shade * corners, dtype=np.float32)


def _blur(image: Image.Image, rng: Random) -> Image.Image:
    """Slight defocus nearly always, more of it or motion blur now and then; measured in pixels at 320 wide."""
    scale = max(image.size) / 320
    kind = rng.random()
    if kind < 0.12:
        return _motion_blur(image, rng.uniform(1.5, 3.0) * scale, rng.uniform(0, math.pi))
    radius = rng.uniform(0.7, 1.15) if kind < 0.27 else rng.uniform(0.0, 0.7)
    return image if radius < 0.2 else image.filter(ImageFilter.GaussianBlur(radius * scale))


def _motion_blur(image: Image.Image, length_px: float, angle: float) -> Image.Image:
    """Average the image along a short line, sampled at five points."""
    pixels = np.asarray(image, dtype=np.float32)
    pad = math.ceil(length_px / 2)
    wide = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    height, width, _ = pixels.shape
    total = np.zeros_like(pixels)
    for step in (-0.5, -0.25, 0.0, 0.25, 0.5):
        column = pad + round(step * length_px * math.cos(angle))
        row = pad + round(step * length_px * math.sin(angle))
        total += wide[row : row + height, column : column + width]
    return Image.fromarray((total / 5 + 0.5).astype(np.uint8))


def _noise(width: int, height: int, rng: Random) -> np.ndarray:
    """Grain, mostly the same in all colours, partly its own in each; sums of two bytes, so in whole steps."""
    strength = rng.uniform(1.0, 4.0) if rng.random() < 0.7 else rng.uniform(4.0, 9.0)
    generator = np.random.default_rng(rng.getrandbits(64))
    raw = generator.integers(0, 256, (2, height, width, 4), dtype=np.uint8)
    grain = raw[0].astype(np.int16) + raw[1] - 255
    scale = round(strength / 104.5 * 4096)
    mixed = grain[..., :1] * 13 + grain[..., 1:] * 10
    return ((mixed >> 4).astype(np.int32) * scale) >> 12
