"""How contenders take turns on a clock: at stretches, so that each finds the caches as its own work leaves them."""

# Photos that one answers before it is another's turn. Photo by photo, a network would find its weights pushed out of
# the caches by the others' (a static detector took an eighth longer so), which at work it does not.
STRETCH = 24


def stretches(photos: int, batch_size: int = 1) -> list[range]:
    """Places of photos, cut into stretches of whole batches.

    Args:
        photos: how many; whole batches.
        batch_size: photos at once.
    """
    length = -(-STRETCH // batch_size) * batch_size
    return [range(start, min(start + length, photos)) for start in range(0, photos, length)]
