"""Where every random number comes from: a hash of what it belongs to."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A seed that is a function of its parts alone, such as ``("augment", seed, epoch, image_id)``.

    Args:
        parts: What the random numbers belong to, starting with a word for their use.

    Returns:
        A non-negative seed of 63 bits (the first bits of SHA-256).
    """
    return _hash_64(parts) >> 1


def image_seed(use: str, seed: int, epoch: int, image_id: int, repeat: int) -> int:
    """A seed for what happens to an image in an epoch.

    Args:
        use: A word for the use of the random numbers.
        seed: Seed of the run.
        epoch: Number of the epoch.
        image_id: Id in the annotation file.
        repeat: How often the image has come in this epoch before.
    """
    parts = (use, seed, epoch, image_id)
    return derive_seed(*parts, repeat) if repeat else derive_seed(*parts)


def unit_hash(*parts: int | str) -> float:
    """A number in [0, 1) that is a function of its parts alone, evenly spread (the first 53 bits of SHA-256)."""
    return (_hash_64(parts) >> 11) / 2.0**53


def _hash_64(parts: tuple[int | str, ...]) -> int:
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
