"""Exact COCO average precision, of exits and of mixtures of them, with intervals and calibration; on plain arrays."""

from cascade_exit.evaluation.average_precision import MEASURES, Measure, average_precision, average_precisions
from cascade_exit.evaluation.calibration import (
    calibration_errors,
    detection_outcomes,
    expected_calibration_error,
    negative_log_likelihood,
)
from cascade_exit.evaluation.class_matches import ClassMatches
from cascade_exit.evaluation.coco_ap import coco_metrics
from cascade_exit.evaluation.confidence import ConfidenceDistribution, confidence_distribution
from cascade_exit.evaluation.intervals import (
    bootstrap_interval,
    difference_interval,
    percentile_interval,
    relative_drop_interval,
    resampled_weights,
)
from cascade_exit.evaluation.kinds import image_kinds
from cascade_exit.evaluation.matching import Matches, match_detections
from cascade_exit.evaluation.metric import ExitAP, exit_measures
from cascade_exit.evaluation.mixture import ExitMixture, mixture_ap
from cascade_exit.evaluation.quality import Quality, image_quality
from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth, area_unit

__all__ = [
    "MEASURES",
    "ClassMatches",
    "ConfidenceDistribution",
    "DetectionArrays",
    "ExitAP",
    "ExitMixture",
    "ImageTruth",
    "Matches",
    "Measure",
    "Quality",
    "area_unit",
    "average_precision",
    "average_precisions",
    "bootstrap_interval",
    "calibration_errors",
    "coco_metrics",
    "confidence_distribution",
    "detection_outcomes",
    "difference_interval",
    "exit_measures",
    "expected_calibration_error",
    "image_kinds",
    "image_quality",
    "match_detections",
    "mixture_ap",
    "negative_log_likelihood",
    "percentile_interval",
    "relative_drop_interval",
    "resampled_weights",
]
