"""How often each training image comes in an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from cascade_exit.data.randomness import derive_seed
from cascade_exit.data.record import CocoSet


@dataclass(frozen=True)
class SamplingConfig:
    """Which images an epoch holds.

    Args:
        kind: ``uniform`` holds every image once; ``repeat_factor`` holds images with rare classes more often.
        threshold: Share of the training images below which ``repeat_factor`` calls a class rare.

    Raises:
        ValueError: ``threshold`` is no share.
    """

    kind: Literal["uniform", "repeat_factor"] = "uniform"
    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}")


def image_factors(coco_set: CocoSet, config: SamplingConfig) -> list[float] | None:
    """How often each image of a set comes in an epoch on average; None: each once."""
    return repeat_factors(coco_set, config.threshold) if config.kind == "repeat_factor" else None


def repeat_factors(coco_set: CocoSet, threshold: float) -> list[float]:
    """Repeat factors of Gupta et al. (LVIS, CVPR 2019, section 5.2).

    A class that a share ``f`` of all images holds (negatives are images, crowd boxes do not count) has the factor
    ``max(1, sqrt(threshold / f))``, an image the largest factor of its classes; 1 without objects.

    Args:
        coco_set: The images.
        threshold: Share of the images below which a class is rare.

    Returns:
        One factor per image, at least 1.
    """
    labels_of_images = [set(record.labels[~record.crowd].tolist()) for record in coco_set.records]
    images = [sum(label in labels for labels in labels_of_images) for label in range(1, len(coco_set.class_map) + 1)]
    factors = [max(1.0, (threshold * len(coco_set) / max(count, 1)) ** 0.5) for count in images]
    return [max((factors[label - 1] for label in labels), default=1.0) for labels in labels_of_images]


def epoch_length(factors: Sequence[float]) -> int:
    """Images of every epoch, repeats counted: the sum of the factors to the nearest whole number."""
    return round(sum(factors))


def draw_repeats(factors: Sequence[float], seed: int, epoch: int) -> list[int]:
    """How often each image comes in one epoch: a systematic sample of the images in random order.

    Every epoch is equally long, an image comes as often as its factor says but for less than once, and on average over
    epochs exactly so (up to the rounding of ``epoch_length``).

    Args:
        factors: Wanted average per image, above 0.
        seed: Seed of the run.
        epoch: With the seed it decides the draw.

    Returns:
        A count per image; they add up to ``epoch_length(factors)``.
    """
    length = epoch_length(factors)
    generator = torch.Generator().manual_seed(derive_seed("repeats", seed, epoch))
    order = torch.randperm(len(factors), generator=generator)
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    # The images lie on a line, each as long as its factor; whoever holds offset, offset + 1, … comes so often.
    ends = torch.tensor(factors, dtype=torch.float64)[order].cumsum(0) * (length / sum(factors))
    taken = (ends - offset).ceil().long()
    taken[-1] = length  # whatever rounding did
    counts = torch.empty_like(order)
    counts[order] = taken.diff(prepend=torch.zeros(1, dtype=torch.int64))
    return counts.tolist()
