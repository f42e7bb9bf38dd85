"""Trained detectors at work: kept models, detection on photos, a pass over a whole set."""

from cascade_exit.runtime.detector import Detector, load
from cascade_exit.runtime.evaluation import detect_set
from cascade_exit.runtime.kept_model import KeptModel, read_kept_model, rounded_to_16_bit, write_kept_model

__all__ = ["Detector", "KeptModel", "detect_set", "load", "read_kept_model", "rounded_to_16_bit", "write_kept_model"]
