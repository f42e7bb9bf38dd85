"""The record of a split: what every exit said of every image; schema, writing, reading, checks."""

from cascade_exit.trace.schema import DetectionTable, ExitTrace, Quality, Trace, TraceHeader

__all__ = ["DetectionTable", "ExitTrace", "Quality", "Trace", "TraceHeader"]
