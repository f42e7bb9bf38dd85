"""Charts of training, exit rates, classes and seeds."""

from collections.abc import Sequence

import plotly.graph_objects as go

from cascade_exit.report.page.cells import exit_names, lookup, rates_of
from cascade_exit.report.page.drawing import (
    GREY,
    Chart,
    exit_colour,
    new_figure,
    plain_text,
    run_colour,
    run_dash,
    wrapped,
)
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.seeds import group_means, group_name
from cascade_exit.report.page.source import ReportedRun

_PARTS = ("classification", "localization")
# More groups of bars than this are hard to read in one chart.
_MOST_TOGETHER = 12


def training_charts(lineage: Lineage) -> list[Chart]:
    """AP of each exit and terms of the loss over the epochs, a line per run."""
    having = [run for run in lineage.runs if run.epochs]
    exits = exit_names(having)
    charts = [_over_epochs(f"AP of {name} on val", "AP", (f"val/{name}/AP",), lineage) for name in exits]
    charts += [
        _over_epochs(
            f"Loss of {name}: classification and localization",
            "loss",
            tuple(f"train/{name}/{part}" for part in _PARTS),
            lineage,
        )
        for name in exits
    ]
    charts += [
        _over_epochs(f"Loss term {name}, before its weight", "loss", (f"train/{name}",), lineage)
        for name in ("distill", "cascade", "diversity")
    ]
    return [chart for chart in charts if chart.runs]


def _over_epochs(title: str, y: str, keys: tuple[str, ...], lineage: Lineage) -> Chart:
    """The sum of the keys over the epochs that have them all."""
    figure, shown = new_figure("epoch", y), []
    figure.update_xaxes(rangemode="tozero", tickformat="d")
    figure.update_yaxes(rangemode="tozero")
    for place, run in enumerate(lineage.runs):
        rows = [row for row in run.epochs if all(key in row for key in keys)]
        if not rows:
            continue
        shown.append(run)
        line = {"color": run_colour(place), "dash": run_dash(place), "width": 2}
        figure.add_scatter(
            x=[row["epoch"] + 1 for row in rows],
            y=[sum(row[key] for key in keys) for row in rows],
            name=plain_text(lineage.label(run)),
            mode="lines+markers",
            line=line,
            marker={"size": 5},
            hovertemplate="%{fullData.name}<br>epoch %{x}: %{y:.4f}<extra></extra>",
        )
    return Chart(title, figure, shown)


def rates_chart(lineage: Lineage) -> Chart | None:
    """Where images leave under each policy; None where there is none."""
    having = [run for run in lineage.runs if rates_of(run)]
    if not having:
        return None
    figure = new_figure("share of the images", "", height_px=110 + 46 * len(having), barmode="stack", bargap=0.35)
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    labels = [wrapped(lineage.label(run)) for run in having]
    for name in exit_names(having):
        # A run without the exit has no piece; one that no image leaves at has a piece of no width.
        held = [
            (label, rates[name])
            for label, run in zip(labels, having, strict=True)
            if name in (rates := rates_of(run) or {})
        ]
        figure.add_bar(
            x=[rate for _, rate in held],
            y=[label for label, _ in held],
            orientation="h",
            name=name,
            marker={"color": exit_colour(name)},
            text=[f"{100 * rate:.0f} %" if rate >= 0.06 else "" for _, rate in held],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#111"},
            hovertemplate="%{y}<br>%{fullData.name}: %{x:.1%}<extra></extra>",
        )
    return Chart("Where images leave", figure, having, wide=True)


def class_charts(lineage: Lineage) -> list[Chart]:
    """AP of each class at each exit: runs together where there is room, else a chart for each."""
    having = [
        run for run in lineage.runs if any("per_class" in of_exit for of_exit in run.figures.get("exits", {}).values())
    ]
    if not having:
        return []
    groups = sum(len(_classes(run)) for run in having)
    if groups <= _MOST_TOGETHER:
        return [Chart("AP of each class at each exit", _class_bars(having, lineage), having, wide=True)]
    return [Chart(lineage.label(run), _class_bars([run], lineage), [run]) for run in having]


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


def seeds_chart(groups: Sequence[Sequence[ReportedRun]], lineage: Lineage) -> Chart:
    """Mean AP of each exit over seeds, with its interval."""
    figure = new_figure("", "AP", height_px=360, showlegend=True, legend={"orientation": "h", "y": -0.15})
    for place, group in enumerate(groups):
        means = group_means(group)
        exits = [name for name in exit_names(group) if f"exits.{name}.AP" in means]
        found = [means[f"exits.{name}.AP"] for name in exits]
        name = plain_text(group_name(group, lineage))
        figure.add_bar(
            x=exits,
            y=[mean.mean for mean in found],
            error_y={
                "type": "data",
                "array": [mean.high - mean.mean for mean in found],
                "thickness": 1.5,
                "color": GREY,
            },
            name=name,
            hovertemplate="%{fullData.name}<br>%{x}: %{y:.4f} +/- %{error_y.array:.4f}<extra></extra>",
            marker={"color": run_colour(place)},
        )
    return Chart(
        "Mean AP over seeds, with 95 % t-intervals", figure, [run for group in groups for run in group], wide=True
    )
