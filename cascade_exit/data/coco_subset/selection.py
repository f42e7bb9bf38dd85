"""Which images are taken, and in which role each is: functions of image ids, a salt and what the images hold."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cascade_exit.data.randomness import unit_hash

SIZES = ("small", "medium", "large")
NEGATIVE = ("", "")

Stratum = tuple[str, str]
"""The class that an image was taken for and the size of its largest object of it; ``NEGATIVE`` for negatives."""

_SMALL_BELOW_PX = 32**2
_MEDIUM_BELOW_PX = 96**2


@dataclass(frozen=True)
class Candidate:
    """What an image holds.

    Args:
        image_id: Its id.
        areas: Area of the largest object of each class that it holds, in square pixels of the original image.
        negative: Whether it shows none of the classes, not even in a crowd.
    """

    image_id: int
    areas: Mapping[str, float]
    negative: bool


def size_of(area: float) -> str:
    """COCO's word for the size of an object, by its area in square pixels of the original image."""
    return SIZES[(area >= _SMALL_BELOW_PX) + (area >= _MEDIUM_BELOW_PX)]


def choose(
    candidates: Iterable[Candidate], classes: Iterable[str], per_class: int, negatives: float, salt: str
) -> dict[int, Stratum]:
    """Takes images until every class is held by ``per_class`` of them, or by all that there are.

    Every image has its place in one order, by a hash of salt and id. Classes have their turn from the rarest to the
    commonest: images taken for a rare class often hold a common one too, and count for it.

    Args:
        candidates: The images, in any order.
        classes: The classes, in any order.
        per_class: Images wanted of each class.
        negatives: Share of all that is taken that should be negatives.
        salt: Another text gives another order.

    Returns:
        Stratum of each taken image, by id.
    """
    order = sorted(candidates, key=lambda image: (unit_hash(salt, "choice", image.image_id), image.image_id))
    holding = {name: [image for image in order if name in image.areas] for name in classes}
    taken: dict[int, Stratum] = {}
    for name in sorted(holding, key=lambda name: (len(holding[name]), name)):
        fresh = [image for image in holding[name] if image.image_id not in taken]
        missing = per_class - (len(holding[name]) - len(fresh))
        for image in fresh[: max(0, missing)]:
            taken[image.image_id] = (name, size_of(image.areas[name]))
    wanted = round(len(taken) * negatives / (1 - negatives))
    empty = [image.image_id for image in order if image.negative]
    return taken | dict.fromkeys(empty[:wanted], NEGATIVE)


def cut(strata: Mapping[int, Stratum], share: float, salt: str) -> set[int]:
    """Takes a share of every stratum, in the order of a hash: less than one image more or fewer than the exact share.

    Whether the share of a stratum is rounded up or down is a hash of the stratum's name, so that many small strata do
    not all lean to one side, and no stratum has a say in another.

    Args:
        strata: Stratum of each image.
        share: Share to take, 0 to 1.
        salt: Another text gives another cut.

    Returns:
        Ids of the images in the share.
    """
    members: dict[Stratum, list[int]] = {}
    for image_id in strata:
        members.setdefault(strata[image_id], []).append(image_id)
    inside: set[int] = set()
    for stratum, ids in members.items():
        count = math.floor(len(ids) * share + unit_hash(salt, "round", *stratum))
        inside |= set(sorted(ids, key=lambda image_id: (unit_hash(salt, "role", image_id), image_id))[:count])
    return inside
