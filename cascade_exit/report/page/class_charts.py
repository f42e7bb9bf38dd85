"""Charts class by class: AP at each exit, where images leave, what going on gains and what a policy costs."""

from collections.abc import Sequence

import plotly.graph_objects as go

from cascade_exit.report.page.cells import exit_names, lookup
from cascade_exit.report.page.drawing import (
    GREY,
    Chart,
    exit_colour,
    new_figure,
    plain_text,
    run_colour,
    share_bars,
    wrapped,
)
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

# More groups of bars than this are hard to read in one chart.
_MOST_TOGETHER = 12
# A run alone takes the whole width from here on.
_MOST_NARROW = 6
_GROUP_PX, _LINE_PX = 150, 26


def class_charts(lineage: Lineage) -> list[Chart]:
    """AP of each class at each exit, then what evaluations found class by class."""
    return [*_ap_charts(lineage), *(chart for run in lineage.runs for chart in _analysis_charts(run, lineage))]


def _ap_charts(lineage: Lineage) -> list[Chart]:
    """Runs together where there is room, else a chart for each."""
    having = [
        run for run in lineage.runs if any("per_class" in of_exit for of_exit in run.figures.get("exits", {}).values())
    ]
    if not having:
        return []
    groups = sum(len(_classes(run)) for run in having)
    if groups <= _MOST_TOGETHER:
        return [Chart("AP of each class at each exit", _class_bars(having, lineage), having, True, groups * _GROUP_PX)]
    return [
        Chart(f"AP: {lineage.label(run)}", _class_bars([run], lineage), [run], wide=len(_classes(run)) > _MOST_NARROW)
        for run in having
    ]


def _classes(run: ReportedRun) -> list[str]:
    return list(
        dict.fromkeys(name for of_exit in run.figures["exits"].values() for name in of_exit.get("per_class", {}))
    )


def _class_bars(runs: Sequence[ReportedRun], lineage: Lineage) -> go.Figure:
    figure = new_figure("", "AP", height_px=340, barmode="group", bargap=0.25)
    for name in exit_names(runs):
        held = [
            (run, label, lookup(run.figures, f"exits.{name}.per_class").get(label))
            for run in runs
            for label in _classes(run)
            if lookup(run.figures, f"exits.{name}.per_class")
        ]
        held = [bar for bar in held if bar[2] is not None]
        classes = [plain_text(label) for _, label, _ in held]
        figure.add_bar(
            x=[[wrapped(lineage.label(run)) for run, _, _ in held], classes] if len(runs) > 1 else classes,
            y=[value for _, _, value in held],
            name=name,
            marker={"color": exit_colour(name)},
            hovertemplate="%{x}<br>%{fullData.name}: %{y:.4f}<extra></extra>",
        )
    return figure


def _analysis_charts(run: ReportedRun, lineage: Lineage) -> list[Chart]:
    """Lines in the same order in all of them: classes that leave early most often on top."""
    classes = run.figures.get("classes", {})
    if not any("early" in found for found in classes.values()):
        return []
    names = sorted((name for name in classes if "early" in classes[name]), key=lambda name: -classes[name]["early"])
    label, early = lineage.label(run), exit_names([run])[:-1]
    gains = [(name, f"gain.{name}", exit_colour(name)) for name in early]
    costs = [("policy", "drop.full", run_colour(lineage.runs.index(run)))]
    drops = _estimates(run, names, costs, "relative AP drop against full", ".0%")
    return [
        Chart(f"Where images with a class leave: {label}", _leaving(run, names), [run]),
        Chart(f"AP gained by going on to full: {label}", _estimates(run, names, gains, "AP", ".2f"), [run]),
        Chart(f"What the policy costs: {label}", drops, [run]),
    ]


def _leaving(run: ReportedRun, names: Sequence[str]) -> go.Figure:
    figure = new_figure("share of the images with the class", "", _height_px(names), barmode="stack", bargap=0.3)
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    for exit_name in exit_names([run]):
        rates = {_line(run, name): lookup(run.figures["classes"][name], f"exit_rates.{exit_name}") for name in names}
        share_bars(figure, exit_name, {line: rate for line, rate in rates.items() if rate is not None})
    return figure


def _estimates(
    run: ReportedRun, names: Sequence[str], curves: Sequence[tuple[str, str, str]], x: str, tick: str
) -> go.Figure:
    """Points with their intervals, a line per class; several curves stand one under the other in a line."""
    figure = new_figure(x, "", _height_px(names))
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    lines = [_line(run, name) for name in names]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=lines, range=[len(names) - 0.4, -0.6])
    figure.update_xaxes(tickformat=tick)
    for place, (curve, path, colour) in enumerate(curves):
        shift = 0.26 * (place - (len(curves) - 1) / 2)
        held = [(at, run.figures["classes"][name]) for at, name in enumerate(names)]
        held = [(at, found) for at, found in held if lookup(found, path) is not None]
        values = [lookup(found, path) for _, found in held]
        ends = [
            found.get("intervals", {}).get(path, (value, value)) for (_, found), value in zip(held, values, strict=True)
        ]
        figure.add_scatter(
            x=values,
            y=[at + shift for at, _ in held],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
                "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
                "thickness": 1.5,
                "width": 0,
                "color": colour,
            },
            mode="markers",
            name=plain_text(curve),
            text=[f"{lines[at]}: {low:.4f} to {high:.4f}" for (at, _), (low, high) in zip(held, ends, strict=True)],
            marker={
                "color": colour,
                "size": 8,
                "symbol": ["circle-open" if found["few"] else "circle" for _, found in held],
            },
            hovertemplate="%{fullData.name}: %{x:.4f}<br>%{text}<extra></extra>",
        )
    return figure


def _line(run: ReportedRun, name: str) -> str:
    return plain_text(name) + (" *" if run.figures["classes"][name]["few"] else "")


def _height_px(names: Sequence[str]) -> int:
    return 90 + _LINE_PX * len(names)
