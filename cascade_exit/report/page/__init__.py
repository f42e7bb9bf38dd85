"""One HTML page that shows runs side by side, from what they have on disk; it opens without a network."""

from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.rendering import render_page
from cascade_exit.report.page.source import ReportedRun, read_reported

__all__ = ["Lineage", "ReportedRun", "read_reported", "render_page"]
