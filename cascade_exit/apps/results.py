"""What verbs report: the figures of every exit as metrics.json holds them, and as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from cascade_exit.data import CocoSet
from cascade_exit.evaluation import ImageTruth, area_unit
from cascade_exit.model import ExitCost
from cascade_exit.runs import Run, atomic_write_json, plain

COLUMNS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100")


@dataclass(frozen=True)
class Provenance:
    """What computed the figures.

    Attributes:
        backend: torch, ….
        threads: that it was given; none: its choice.
    """

    backend: str
    threads: int | None = None

    def of(self, run: Run) -> dict[str, Any]:
        """The provenance part of metrics.json."""
        manifest = run.manifest
        facts = {key: plain(getattr(manifest, key)) for key in ("parents", "git", "machine", "versions", "command")}
        return (
            {"run": manifest.id} | facts | {"backend": self.backend, "threads": self.threads or torch.get_num_threads()}
        )


def set_facts(images: CocoSet) -> dict[str, Any]:
    """The part of metrics.json that says on what was measured."""
    truth = [ImageTruth.from_record(record) for record in images.records]
    return {
        "images": len(images),
        "boxes": sum(len(record.labels) for record in images.records),
        "data": {
            "fingerprint": images.fingerprint,
            "annotations": images.annotations.name if images.annotations else None,
            "area_unit": area_unit(truth),
        },
    }


def exit_figures(measures: Mapping[str, Mapping[str, Any]], costs: Mapping[str, ExitCost]) -> dict[str, dict[str, Any]]:
    """Measures of every exit with what it costs."""
    return {
        name: {**of_exit, "macs": costs[name].macs, "parameters": costs[name].parameters}
        for name, of_exit in measures.items()
    }


def write_metrics(run: Run, metrics: Mapping[str, Any], provenance: Provenance) -> None:
    """Writes metrics.json of a run."""
    atomic_write_json(run.folder / "metrics.json", plain(dict(metrics) | {"provenance": provenance.of(run)}))


def exit_table(exits: Mapping[str, Mapping[str, Any]], title: str, intervals: Mapping[str, Any] | None = None) -> Table:
    """A row per exit; a measure that does not exist on this set shows as a dash."""
    table = Table(title=title, title_justify="left")
    for column in ("exit", *COLUMNS, "MMACs", "M params"):
        table.add_column(column, justify="left" if column == "exit" else "right")
    for name, values in exits.items():
        cells = [f"{values[key]:.3f}" if key in values else "–" for key in COLUMNS]
        for place, key in enumerate(COLUMNS[:2]):
            if intervals and f"exits.{name}.{key}" in intervals:
                low, high = intervals[f"exits.{name}.{key}"]
                cells[place] += f"\n[dim]{low:.3f}–{high:.3f}[/]"
        table.add_row(name, *cells, f"{values['macs'] / 1e6:.0f}", f"{values['parameters'] / 1e6:.2f}")
    return table
