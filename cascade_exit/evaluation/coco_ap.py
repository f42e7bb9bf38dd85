"""COCO's detection measures, with exactly the numbers of the reference implementation (Lin et al., ECCV 2014)."""

import math
from typing import Any

import numpy as np

from cascade_exit.evaluation.average_precision import average_precision, average_precisions
from cascade_exit.evaluation.matching import Matches


def coco_metrics(matches: Matches) -> dict[str, Any]:
    """Average precision and recall over all images.

    Small, medium and large are told apart by areas in the pixels that `area_unit` of the ground truth names.

    Args:
        matches: one exit's, or a mixture's.

    Returns:
        "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100" and "per_class" (AP by class name), in
        0..1. A measure for which there is no ground truth is absent.
    """
    per_class = {
        name: average_precision(Matches(matches.image_ids, (name,), (of_class,)))
        for name, of_class in zip(matches.class_names, matches.classes, strict=True)
    }
    measures = average_precisions(matches) | {"AR100": _average_recall(matches)}
    return _present(measures) | {"per_class": _present(per_class)}


def _average_recall(matches: Matches) -> float:
    """Mean over overlap thresholds and classes of the share of objects that any detection finds."""
    objects = np.array([each.truth_count[0].sum() for each in matches.classes])
    found = np.stack([each.correct[0].sum(axis=1) for each in matches.classes], axis=1)
    recalls = found[:, objects > 0] / objects[objects > 0]
    return float(np.mean(recalls)) if recalls.size else math.nan


def _present(measures: dict[Any, float]) -> dict[Any, float]:
    return {name: value for name, value in measures.items() if not math.isnan(value)}
