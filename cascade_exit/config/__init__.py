"""The command line's configuration: the rooms' settings composed, validated, and explained when wrong."""

from cascade_exit.config.app import Call, Task, read_jobs, refuse, run_app
from cascade_exit.config.schema import (
    DashboardConfig,
    DescribeConfig,
    EvaluateConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    RiskConfig,
    RunPlace,
    TraceConfig,
    TrainConfig,
    TuneConfig,
)

__all__ = [
    "Call",
    "DashboardConfig",
    "DescribeConfig",
    "EvaluateConfig",
    "ExportConfig",
    "PredictConfig",
    "ReportConfig",
    "RiskConfig",
    "RunPlace",
    "Task",
    "TraceConfig",
    "TrainConfig",
    "TuneConfig",
    "read_jobs",
    "refuse",
    "run_app",
]
