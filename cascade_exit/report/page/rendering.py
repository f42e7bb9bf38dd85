"""The page: its sections, put into the template with everything inline."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from cascade_exit.report.page.cells import Table, exit_names
from cascade_exit.report.page.charts import rates_chart, seeds_charts, training_charts
from cascade_exit.report.page.class_charts import class_charts
from cascade_exit.report.page.drawing import Chart, exit_colour, run_colour
from cascade_exit.report.page.findings import NOTE, Findings, class_findings
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.pictures import Picture, collect_pictures
from cascade_exit.report.page.rules import rules_table
from cascade_exit.report.page.scorecard import scorecard
from cascade_exit.report.page.seeds import seeds_table
from cascade_exit.report.page.source import ReportedRun
from cascade_exit.report.page.tables import (
    classes_table,
    difference_tables,
    exits_table,
    kinds_table,
    policies_table,
    runs_table,
)
from cascade_exit.report.page.trade_offs import trade_off_charts


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: where links lead.
        title: its head, and its word in the navigation.
        words: before everything else.
        findings: in sentences, before all numbers.
        tables: first.
        charts: then.
        pictures: last.
        by_run: the charts' colours stand for runs.
        by_exit: they stand for exits.
    """

    id: str
    title: str
    words: str = ""
    findings: Sequence[Findings] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = field(default=(), repr=False)
    by_run: bool = False
    by_exit: bool = False


def render_page(runs: Sequence[ReportedRun], root: Path, pictures: int, made: str) -> str:
    """The whole page as HTML text, with nothing outside it.

    Args:
        runs: at least one, in the order of the page.
        root: folder of all runs, where ancestors are looked for.
        pictures: at most so many of each run.
        made: when, and by what, for the foot.
    """
    lineage = Lineage(runs, root)
    sections = [
        section for section in _sections(lineage, pictures) if section.tables or section.charts or section.pictures
    ]
    environment = Environment(
        loader=PackageLoader("cascade_exit.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"script_json": script_json, "breakable": breakable}
    return environment.get_template("page.html").render(
        title=_title(runs),
        runs=runs,
        lineage=lineage,
        sections=sections,
        colours={run.id: run_colour(place) for place, run in enumerate(runs)},
        exits={name: exit_colour(name) for name in exit_names(runs)},
        made=made,
        style=Markup(_template("page.css")),
        script=Markup(_template("page.js")),
        plotly=Markup(get_plotlyjs()) if any(section.charts for section in sections) else "",
    )


def script_json(value: Any) -> Markup:
    """JSON that may stand in a script element, whatever its strings hold."""
    text = json.dumps(value)
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escaped)
    return Markup(text)


def breakable(text: str) -> Markup:
    """Text that may break into lines within keys and paths."""
    return Markup(re.sub(r"(?<=\w)([./_])(?=[A-Za-z_])", r"\1<wbr>", str(escape(text))))


def _sections(lineage: Lineage, pictures: int) -> list[Section]:
    runs, groups = lineage.runs, lineage.seed_groups()
    rates, score, rules = rates_chart(lineage), scorecard(runs, lineage), rules_table(runs, lineage)
    findings = class_findings(runs, lineage)
    shown, left_out = collect_pictures(runs, pictures)
    return [
        Section("runs", "Runs", tables=[runs_table(runs, lineage)]),
        Section(
            "seeds",
            "Seeds",
            tables=[seeds_table(groups, lineage)] if groups else (),
            charts=seeds_charts(groups, lineage),
        ),
        Section("differences", "Settings", tables=difference_tables(runs, lineage)),
        Section(
            "training",
            "Training",
            "From each run's own record, a row per epoch.",
            charts=training_charts(lineage),
            by_run=True,
        ),
        Section("exits", "Exits", tables=_filled(exits_table(runs, lineage))),
        Section(
            "trade-off",
            "AP over cost",
            "One chart per set of images: APs on other images do not compare. A tap on a name in the legend hides it.",
            charts=trade_off_charts(lineage),
            by_exit=True,
        ),
        Section(
            "policies",
            "Policies",
            tables=[*_filled(policies_table(runs, lineage)), *([rules] if rules else [])],
            charts=[rates] if rates else (),
            by_exit=True,
        ),
        Section("scorecard", "Scorecard", tables=[score] if score else ()),
        Section(
            "classes",
            "Classes",
            NOTE if findings else "",
            findings,
            tables=[*_filled(classes_table(runs, lineage)), *_filled(kinds_table(runs, lineage))],
            charts=class_charts(lineage),
            by_exit=True,
        ),
        Section("pictures", "Pictures", _left_out(left_out), pictures=shown),
    ]


def _filled(table: Table) -> list[Table]:
    return [table] if table.rows else []


def _left_out(count: int) -> str:
    return f"{count} pictures are left out to keep the page small; they lie in the runs." if count else ""


def _title(runs: Sequence[ReportedRun]) -> str:
    return f"{len(runs)} runs compared" if len(runs) > 1 else runs[0].id


def _template(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
