"""The painter's order of solids: what may hide another is painted after it."""

import numpy as np

_TOUCH_M = 1e-6


def painting_order(
    low: np.ndarray,
    high: np.ndarray,
    other_low: np.ndarray,
    other_high: np.ndarray,
    eyes: np.ndarray,
    screen_low: np.ndarray,
    screen_high: np.ndarray,
) -> list[int]:
    """Sort solids so that none is painted before one that it may hide.

    Two solids that a face plane of one's bounding box separates cannot hide each other both ways: the one on
    the far side of the plane never hides the one on the eye's side. Where no such plane is found, or where
    the relation runs in a circle, the farther solid goes first.

    Args:
        low: ``[solid, 3]`` lower bounds of each solid in its own frame.
        high: Upper bounds, likewise.
        other_low: ``[solid i, solid j, 3]`` lower bounds of j in the frame of i; the first dimension may be 1
            when all solids share one frame.
        other_high: Upper bounds, likewise.
        eyes: ``[solid, 3]`` the eye in the frame of each solid; 1 row when they share one frame.
        screen_low: ``[solid, 3]`` lower bounds in the picture; the third number is the depth.
        screen_high: Upper bounds, likewise.

    Returns:
        The solids' numbers, the first to paint first.
    """
    count = len(low)
    if count == 1:
        return [0]
    never = _never_hides(low, high, other_low, other_high, eyes)
    apart = (screen_low[:, None, :2] > screen_high[None, :, :2]).any(axis=-1)
    may_hide = ~(never | apart | apart.T)
    np.fill_diagonal(may_hide, False)
    must_wait_for = may_hide & ~may_hide.T
    packed = np.packbits(must_wait_for, axis=1, bitorder="little")
    waits = [int.from_bytes(row.tobytes(), "little") for row in packed]
    farthest_first = np.argsort(-(screen_low[:, 2] + screen_high[:, 2]), kind="stable").tolist()
    return _sorted(waits, farthest_first)


def _never_hides(
    low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray, eyes: np.ndarray
) -> np.ndarray:
    """Matrix ``[i, j]``: solid i is known never to hide solid j."""
    low, high, eyes = low[:, None], high[:, None], eyes[:, None]
    above = other_low >= high - _TOUCH_M
    below = other_high <= low + _TOUCH_M
    i_is_behind = (above & (eyes >= high)) | (below & (eyes <= low))
    j_is_behind = (above & (eyes <= high)) | (below & (eyes >= low))
    never = i_is_behind.any(axis=-1) | j_is_behind.any(axis=-1).T
    return np.asarray(never)


def _sorted(waits: list[int], preference: list[int]) -> list[int]:
    """Take the most preferred solid that waits for none of the rest, over and over."""
    remaining = (1 << len(waits)) - 1
    pending, order = preference, []
    while pending:
        chosen = next((i for i in pending if not waits[i] & remaining), pending[0])
        order.append(chosen)
        pending = [i for i in pending if i != chosen]
        remaining &= ~(1 << chosen)
    return order
