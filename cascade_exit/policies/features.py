"""What the learned router sees of a digest: statistics, and scores and sizes of the best boxes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cascade_exit.model import Digest
from cascade_exit.policies.overlaps import TopBoxes, top_boxes
from cascade_exit.policies.statistics import IMAGES_PER_STEP, STATISTICS

# Numbers per box: its score, how undecided it is, and its size.
NUMBERS_PER_BOX = 3


def statistics_of(digest: Digest, previous: Digest | None, names: Sequence[str]) -> Float[Tensor, "batch statistic"]:
    """Several statistics side by side, in float64."""
    return torch.stack([STATISTICS[name](digest, previous).double() for name in names], dim=1)


def router_features(
    digest: Digest, previous: Digest | None, statistics: Sequence[str], boxes: int
) -> Float[Tensor, "batch feature"]:
    """Statistics, then NUMBERS_PER_BOX numbers of each of the best boxes that do not overlap, in float64.

    Args:
        digest: of the exit.
        previous: of the exit before it, where a statistic needs it.
        statistics: names.
        boxes: how many; images with fewer read 0.
    """
    images = max(digest.boxes.shape[0], 1)
    steps = [digest.of(slice(start, start + IMAGES_PER_STEP)) for start in range(0, images, IMAGES_PER_STEP)]
    described = torch.cat([_best_boxes(top_boxes(step), boxes) for step in steps])
    return torch.cat([statistics_of(digest, previous, statistics), described], dim=1)


def _best_boxes(found: TopBoxes, boxes: int) -> Float[Tensor, "batch number"]:
    scores, places = found.scores.topk(min(boxes, found.scores.shape[1]), dim=-1)
    side = found.boxes[..., 2:] - found.boxes[..., :2]
    size = side.prod(dim=-1).sqrt().gather(1, places)
    # The size counts as much as the box: boxes that suppression took out have no score and must not be seen.
    numbers = torch.stack([scores, scores * (1 - scores), scores * size], dim=1).double()
    return torch.nn.functional.pad(numbers, (0, boxes - scores.shape[1])).flatten(1)
