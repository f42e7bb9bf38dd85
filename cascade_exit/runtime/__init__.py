"""Trained detectors at work: on photos, stopping early, over a whole set, traced, timed; kept models."""

from cascade_exit.runtime.detector import Detector
from cascade_exit.runtime.evaluation import detect_set
from cascade_exit.runtime.kept_model import KeptModel, read_kept_model, rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.loading import load
from cascade_exit.runtime.runner import DriftWarning, Runner, Stopped
from cascade_exit.runtime.stage_costs import (
    ExitTiming,
    StageCosts,
    Timing,
    TimingConfig,
    measure_stage_costs,
    measure_together,
    read_stage_costs,
    write_stage_costs,
)
from cascade_exit.runtime.tracing import trace_set

__all__ = [
    "Detector",
    "DriftWarning",
    "ExitTiming",
    "KeptModel",
    "Runner",
    "StageCosts",
    "Stopped",
    "Timing",
    "TimingConfig",
    "detect_set",
    "load",
    "measure_stage_costs",
    "measure_together",
    "read_kept_model",
    "read_stage_costs",
    "rounded_to_16_bit",
    "trace_set",
    "write_kept_model",
    "write_stage_costs",
]
