"""A fingerprint of what a picture looks like, which survives resizing, recompression and a change of brightness."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

HASH_BITS = 64
SIDE_PX, KEPT = 32, 8
# A thumbnail that varies by less than this many of 255 grey levels shows nothing to compare.
PLAIN_STD = 2.0


def _cosines() -> Float[np.ndarray, "kept side"]:
    """The lowest frequencies of a DCT-II of `SIDE_PX` samples, without the constant one."""
    frequency, place = np.arange(1, KEPT + 1)[:, None], np.arange(SIDE_PX)
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE_PX))


_COSINES = _cosines()


def perceptual_hash(image_u8: UInt8[np.ndarray, "height width 3"]) -> Bool[np.ndarray, " bit"] | None:
    """The DCT hash of pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).

    The picture is shrunk to 32x32 grey pixels; each of the 8x8 lowest frequencies, without those that are constant
    along a side, gives one bit: whether its coefficient is above their median. A mirrored or much cropped copy has
    another hash.

    Args:
        image_u8: RGB photo.

    Returns:
        64 bits; None for a picture of one colour, whose bits would be noise.
    """
    grey = Image.fromarray(image_u8).convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    thumbnail = np.asarray(grey, dtype=np.float64)
    if thumbnail.std() < PLAIN_STD:
        return None
    coefficients = (_COSINES @ thumbnail @ _COSINES.T).ravel()
    return coefficients > np.median(coefficients)
