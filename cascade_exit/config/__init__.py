"""The command line's configuration: the rooms' settings composed, validated, and explained when wrong."""

from cascade_exit.config.app import Call, Task, read_job, read_jobs, refuse, run_app, takes
from cascade_exit.config.pipeline import PHASE_VERBS, Phase, PipelineConfig, PipelineSettings, RunsConfig
from cascade_exit.config.schema import (
    BenchmarkConfig,
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
    "PHASE_VERBS",
    "BenchmarkConfig",
    "Call",
    "DashboardConfig",
    "DescribeConfig",
    "EvaluateConfig",
    "ExportConfig",
    "Phase",
    "PipelineConfig",
    "PipelineSettings",
    "PredictConfig",
    "ReportConfig",
    "RiskConfig",
    "RunPlace",
    "RunsConfig",
    "Task",
    "TraceConfig",
    "TrainConfig",
    "TuneConfig",
    "read_job",
    "read_jobs",
    "refuse",
    "run_app",
    "takes",
]
