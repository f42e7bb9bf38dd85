"""What policies look at: functions of a digest that say how safe it is to stop; larger is safer.

Trace and runner call the same functions. Each takes one image's row for itself, so a batch changes nothing. Where a
statistic counts, it counts in parts around its border, so that it moves little where a score does.
"""

from collections.abc import Callable
from functools import wraps

import torch
from jaxtyping import Float
from torch import Tensor

from cascade_exit.model import Digest, mean_normalised_entropy
from cascade_exit.policies.overlaps import TopBoxes, anchor_scores, pairwise_iou, top_boxes
from cascade_exit.runs import UserError, closest

Statistic = Callable[[Digest, Digest | None], Float[Tensor, " batch"]]

STATISTICS: dict[str, Statistic] = {}
# Names of those that also look at the previous exit's digest.
COMPARISONS: set[str] = set()

TOP_MEAN_COUNT = 10
MIDDLE = (0.1, 0.5)
FOREGROUND = 0.3
# Width in score over which a count goes from none to one.
BORDER = 0.1
# Weight of two empty answers' agreement: it keeps near-empty answers from jumping between 0 and 1.
EMPTY_WEIGHT = 0.1
# Images per step where boxes are compared with boxes; bounds the memory.
IMAGES_PER_STEP = 128


def statistic(function: Statistic) -> Statistic:
    """Registers a statistic under its name.

    Args:
        function: takes the digest and the previous exit's digest (None at the first exit, and at an exit whose
            previous one does not answer); gives one number per image, larger = safer to stop.

    Raises:
        ValueError: the name is taken.
    """
    name = function.__name__
    if name in STATISTICS:
        raise ValueError(f"statistic {name} is already there: choose another name")
    STATISTICS[name] = function
    return function


def comparison(function: Callable[[Digest, Digest], Float[Tensor, " batch"]]) -> Statistic:
    """Registers a statistic that needs the previous exit's digest; otherwise as `statistic`."""

    @wraps(function)
    def with_previous(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
        if previous is None:
            raise UserError(f"statistic {function.__name__} needs the previous exit's answer; there is none here")
        return function(digest, previous)

    statistic(with_previous)
    COMPARISONS.add(function.__name__)
    return with_previous


def check_statistic(name: str) -> None:
    """Refuses the name of a statistic that is not there.

    Raises:
        ValueError: with the nearest name.
    """
    if name not in STATISTICS:
        known = ", ".join(STATISTICS)
        raise ValueError(f"statistic must be one of {known}, got {name!r}{closest(name, STATISTICS)}")


@statistic
def mean_confidence(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """Mean over all anchors of the largest probability, background included: the plan's criterion."""
    return digest.mean_confidence


@statistic
def certainty(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """1 - mean normalised entropy over all anchors."""
    return 1 - digest.mean_entropy


@statistic
def top_certainty(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """1 - mean normalised entropy over the best anchors: `certainty` without the anchors that are empty anyway."""
    return 1 - mean_normalised_entropy(digest.logits)


@statistic
def max_score(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """Highest probability of any class; blind to what is missed."""
    return anchor_scores(digest).amax(dim=-1)


@statistic
def top_mean(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """Mean of the TOP_MEAN_COUNT anchors' best class probabilities (of all, where there are fewer)."""
    scores = anchor_scores(digest)
    return scores.topk(min(TOP_MEAN_COUNT, scores.shape[1]), dim=-1).values.mean(dim=-1)


@statistic
def mid_scores(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """Minus the sum of the scores in MIDDLE, where an exit is undecided."""
    scores = anchor_scores(digest)
    low, high = MIDDLE
    return -(scores * _above(scores, low) * (1 - _above(scores, high))).sum(dim=-1)


@statistic
def foreground_count(digest: Digest, previous: Digest | None) -> Float[Tensor, " batch"]:
    """Minus the number of anchors with a score above FOREGROUND: images with little in them are easy."""
    return -_above(anchor_scores(digest), FOREGROUND).sum(dim=-1)


@comparison
def agreement(digest: Digest, previous: Digest) -> Float[Tensor, " batch"]:
    """How well the boxes of two exits match, in [0, 1]; 1 where both are empty.

    Each exit's boxes are reduced to those that do not overlap, weighed by their scores. A box is matched by the box
    of its class in the other answer with the highest overlap times the smaller of the two weights. The sum of the
    matches of both sides over the sum of the weights of both sides is a soft Dice coefficient.
    """
    steps = zip(*(_in_steps(part) for part in (digest, previous)), strict=True)
    return torch.cat([_soft_dice(_weighed(one), _weighed(two)) for one, two in steps])


def _above(scores: Tensor, border: float) -> Tensor:
    """0 below the border, 1 above it, and a ramp of width BORDER in between."""
    return ((scores - border) / BORDER + 0.5).clamp(0, 1)


def _in_steps(digest: Digest) -> list[Digest]:
    images = max(digest.boxes.shape[0], 1)
    return [digest.of(slice(start, start + IMAGES_PER_STEP)) for start in range(0, images, IMAGES_PER_STEP)]


def _weighed(digest: Digest) -> TopBoxes:
    found = top_boxes(digest)
    # Scores that no one would call a detection stand at random places.
    return found._replace(scores=found.scores * _above(found.scores, MIDDLE[0]))


def _soft_dice(one: TopBoxes, two: TopBoxes) -> Float[Tensor, " batch"]:
    same_class = one.labels[:, :, None] == two.labels[:, None, :]
    weight = torch.minimum(one.scores[:, :, None], two.scores[:, None, :])
    match = pairwise_iou(one.boxes, two.boxes) * weight * same_class
    matched = match.amax(dim=2).sum(dim=1) + match.amax(dim=1).sum(dim=1)
    return (matched + EMPTY_WEIGHT) / (one.scores.sum(dim=1) + two.scores.sum(dim=1) + EMPTY_WEIGHT)
