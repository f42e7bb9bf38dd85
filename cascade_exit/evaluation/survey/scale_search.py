"""Which anchor scales cover the boxes of a set better than those in use, and with how many anchors per box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade_exit.data import InputConfig
from cascade_exit.evaluation.survey.anchor_recall import AnchorFits, BoxSample, anchor_fits
from cascade_exit.model import AnchorGrid

# All combinations are tried: first level's scale, and how the six levels rise from it to the last one's. Powers of 1
# are Liu et al.'s even steps (SSD, ECCV 2016, section 2.2), larger ones put more levels among small objects.
FIRST_SCALES = (0.04, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20)
POWERS = (1.0, 1.5)
LAST_SCALE, LARGER_SQUARE = 0.95, 1.0


@dataclass(frozen=True)
class ScaleTrial:
    """Anchors of some scales on some boxes.

    Attributes:
        scales: as `model.anchor_scales` takes them.
        fits: of every box.
    """

    scales: tuple[float, ...]
    fits: AnchorFits


def scale_family(levels: int) -> list[tuple[float, ...]]:
    """All scales that are tried."""
    steps = np.linspace(0, 1, levels)
    rises = [first + (LAST_SCALE - first) * steps**power for first in FIRST_SCALES for power in POWERS]
    return [(*(round(float(scale), 2) for scale in rise), LARGER_SQUARE) for rise in rises]


def search_scales(sample: BoxSample, input: InputConfig, current: Sequence[float], iou: float) -> list[ScaleTrial]:
    """Tries the scales in use, first, and a small family of others.

    Args:
        sample: boxes to cover.
        input: size of the input.
        current: the scales in use.
        iou: of the matcher.
    """
    tried = dict.fromkeys([tuple(current), *scale_family(len(current) - 1)])
    return [
        ScaleTrial(scales, anchor_fits(sample.boxes, AnchorGrid(input.size_px, scales).boxes, [iou]))
        for scales in tried
    ]


def unbeaten(trials: Sequence[ScaleTrial], iou: float) -> list[ScaleTrial]:
    """Trials that no other beats in recall without having fewer anchors per box, by falling recall.

    Args:
        trials: on the same boxes, at least one.
        iou: of the matcher.
    """

    def worth(trial: ScaleTrial) -> tuple[float, float]:
        fit = trial.fits.of(iou)
        return (fit.recall, fit.anchors_per_box) if fit else (0.0, 0.0)

    front: list[ScaleTrial] = []
    for trial in sorted(trials, key=worth, reverse=True):
        if not front or worth(trial)[1] > worth(front[-1])[1]:
            front.append(trial)
    return front
