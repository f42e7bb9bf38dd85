"""Exact COCO average precision, of exits and of mixtures of them, with intervals and calibration; on plain arrays."""

from cascade_exit.evaluation.average_precision import Measure, average_precision
from cascade_exit.evaluation.calibration import (
    calibration_errors,
    detection_outcomes,
    expected_calibration_error,
    negative_log_likelihood,
)
from cascade_exit.evaluation.coco_ap import coco_metrics
from cascade_exit.evaluation.confidence import ConfidenceDistribution, confidence_distribution
from cascade_exit.evaluation.intervals import bootstrap_interval, difference_interval, relative_drop_interval
from cascade_exit.evaluation.matching import ClassMatches, Matches, match_detections
from cascade_exit.evaluation.metric import ExitAP
from cascade_exit.evaluation.mixture import ExitMixture, mixture_ap
from cascade_exit.evaluation.truth import DetectionArrays, ImageTruth, area_unit

__all__ = [
    "ClassMatches",
    "ConfidenceDistribution",
    "DetectionArrays",
    "ExitAP",
    "ExitMixture",
    "ImageTruth",
    "Matches",
    "Measure",
    "area_unit",
    "average_precision",
    "bootstrap_interval",
    "calibration_errors",
    "coco_metrics",
    "confidence_distribution",
    "detection_outcomes",
    "difference_interval",
    "expected_calibration_error",
    "match_detections",
    "mixture_ap",
    "negative_log_likelihood",
    "relative_drop_interval",
]
