"""What is in a set of images: classes, sizes, what stands together, and how well anchors cover the boxes."""

from cascade_exit.evaluation.survey.anchor_recall import AnchorFit, AnchorFits, BoxSample, anchor_fits, sample_boxes
from cascade_exit.evaluation.survey.content import ClassContent, SetContent, co_occurrence, set_content, thin_classes
from cascade_exit.evaluation.survey.scale_search import ScaleTrial, search_scales, unbeaten

__all__ = [
    "AnchorFit",
    "AnchorFits",
    "BoxSample",
    "ClassContent",
    "ScaleTrial",
    "SetContent",
    "anchor_fits",
    "co_occurrence",
    "sample_boxes",
    "search_scales",
    "set_content",
    "thin_classes",
    "unbeaten",
]
