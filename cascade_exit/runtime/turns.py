"""How contenders take turns on a clock: at stretches, so that each finds the caches as its own work leaves them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

C = TypeVar("C")
# Photos that one answers before it is another's turn. Photo by photo, a network would find its weights pushed out of
# the caches by the others' (a static detector took an eighth longer so), which at work it does not.
STRETCH = 24


def turns(contenders: Sequence[C], photos: int, batch_size: int = 1, first: int = 0) -> Iterator[tuple[C, slice]]:
    """Who answers which photos, one batch after the other; who comes first changes with every stretch.

    Args:
        contenders: all of them answer all photos.
        photos: how many; whole batches.
        batch_size: photos at once; a stretch is whole batches.
        first: place, counted round and round, of the contender that begins.
    """
    length = -(-STRETCH // batch_size) * batch_size
    for turn, start in enumerate(range(0, photos, length), start=first):
        place = turn % len(contenders)
        for contender in (*contenders[place:], *contenders[:place]):
            for begin in range(start, min(start + length, photos), batch_size):
                yield contender, slice(begin, begin + batch_size)
