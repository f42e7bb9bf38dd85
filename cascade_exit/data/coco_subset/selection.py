"""Which images are taken, and in which role each is: functions of image ids, a salt and what the images hold."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cascade_exit.data.randomness import unit_hash

SIZES = ("small", "medium", "large")

Stratum = tuple[str, str]
"""A class and a size: the images whose largest object of the class is so large. Both empty: the negatives."""

NEGATIVE: Stratum = ("", "")

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

    @property
    def strata(self) -> list[Stratum]:
        """Those that the image belongs to; one per class that it holds."""
        return [NEGATIVE] if self.negative else [(name, size_of(area)) for name, area in self.areas.items()]


def size_of(area: float) -> str:
    """COCO's word for the size of an object, by its area in square pixels of the original image."""
    return SIZES[(area >= _SMALL_BELOW_PX) + (area >= _MEDIUM_BELOW_PX)]


def choose(
    candidates: Iterable[Candidate], classes: Collection[str], per_class: int, negatives: float, salt: str
) -> list[Candidate]:
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
        The taken images.
    """
    order = _ordered(candidates, salt, "choice")
    holding = {name: [image for image in order if name in image.areas] for name in classes}
    taken: dict[int, Candidate] = {}
    for name in sorted(holding, key=lambda name: (len(holding[name]), name)):
        fresh = [image for image in holding[name] if image.image_id not in taken]
        missing = per_class - (len(holding[name]) - len(fresh))
        taken |= {image.image_id: image for image in fresh[: max(0, missing)]}
    empty = [image for image in order if image.negative]
    return [*taken.values(), *empty[: round(len(taken) * negatives / (1 - negatives))]]


def cut(images: Iterable[Candidate], share: float, salt: str) -> set[int]:
    """Takes a share of the images, and as nearly as can be the same share of every stratum.

    Strata have their turn from the smallest to the largest (iterative stratification: Sechidis et al., 2011). In its
    turn a stratum gets what it lacks to its share, rounded up or down, from those of its images that no stratum before
    it has decided about, in the order of a hash. So it is met to within one image, unless those before it have decided
    about too many of its images.

    Which way a stratum is rounded is a hash of its name, so that many small ones do not all lean to one side. Images
    come and go in a hash order, so what is added elsewhere moves few images, and none of strata that it shares no image
    with.

    Args:
        images: The images, in any order.
        share: Share to take, 0 to 1.
        salt: Another text gives another cut.

    Returns:
        Ids of the images in the share.
    """
    members: dict[Stratum, list[int]] = {}
    for image in _ordered(images, salt, "role"):
        for stratum in image.strata:
            members.setdefault(stratum, []).append(image.image_id)
    inside: set[int] = set()
    decided: set[int] = set()
    for stratum, ids in sorted(members.items(), key=lambda item: (len(item[1]), item[0])):
        wanted = math.floor(len(ids) * share + unit_hash(salt, "round", *stratum))
        missing = wanted - len(inside.intersection(ids))
        fresh = [image_id for image_id in ids if image_id not in decided]
        inside.update(fresh[: max(0, missing)])
        decided.update(ids)
    return inside


def _ordered(images: Iterable[Candidate], salt: str, use: str) -> list[Candidate]:
    return sorted(images, key=lambda image: (unit_hash(salt, use, image.image_id), image.image_id))
