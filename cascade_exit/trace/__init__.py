"""The record of a split: what every exit said of every image; schema, writing, reading, checks."""

from cascade_exit.evaluation import Quality
from cascade_exit.trace.checks import check_trace
from cascade_exit.trace.file import SCHEMA_VERSION, TRACE_NAME, check_version, read_trace, write_trace
from cascade_exit.trace.schema import DetectionTable, ExitTrace, Trace, TraceHeader

__all__ = [
    "SCHEMA_VERSION",
    "TRACE_NAME",
    "DetectionTable",
    "ExitTrace",
    "Quality",
    "Trace",
    "TraceHeader",
    "check_trace",
    "check_version",
    "read_trace",
    "write_trace",
]
