"""Charts of training, exit rates and seeds."""

from collections import defaultdict
from collections.abc import Sequence

from cascade_exit.report.page.cells import exit_names, rates_of
from cascade_exit.report.page.drawing import (
    GREY,
    Chart,
    new_figure,
    plain_text,
    run_colour,
    run_dash,
    share_bars,
    wrapped,
)
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.seeds import group_means, group_name
from cascade_exit.report.page.source import ReportedRun

_PARTS = ("classification", "localization")


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
        share_bars(figure, name, dict(held))
    return Chart("Where images leave", figure, having, wide=True)


def seeds_charts(groups: Sequence[Sequence[ReportedRun]], lineage: Lineage) -> list[Chart]:
    """Mean AP of each exit over seeds, with its interval: a chart per set of images."""
    by_set: dict[str | None, list[Sequence[ReportedRun]]] = defaultdict(list)
    for group in groups:
        if any(path.startswith("exits.") for path in group_means(group)):
            by_set[group[0].measured_on].append(group)
    return [_seeds_chart(on_set, lineage) for on_set in by_set.values()]


def _seeds_chart(groups: Sequence[Sequence[ReportedRun]], lineage: Lineage) -> Chart:
    legend = {"orientation": "h", "y": -0.15}
    figure = new_figure("", "AP", height_px=360, showlegend=True, legend=legend, bargap=0.3)
    for group in groups:
        means = group_means(group)
        exits = [name for name in exit_names(group) if f"exits.{name}.AP" in means]
        found = [means[f"exits.{name}.AP"] for name in exits]
        halves = [mean.high - mean.mean for mean in found]
        figure.add_bar(
            x=exits,
            y=[mean.mean for mean in found],
            error_y={"type": "data", "array": halves, "thickness": 1.5, "color": GREY},
            name=plain_text(group_name(group, lineage)),
            hovertemplate="%{fullData.name}<br>%{x}: %{y:.4f} ± %{error_y.array:.4f}<extra></extra>",
            marker={"color": run_colour(lineage.runs.index(group[0]))},
        )
    where = f"{groups[0][0].figures.get('images', '')} {groups[0][0].role or ''} images"
    return Chart(
        f"Mean AP over seeds on {where}, with 95 % t-intervals", figure, [run for group in groups for run in group]
    )
