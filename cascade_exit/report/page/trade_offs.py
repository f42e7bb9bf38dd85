"""AP over mean cost: one chart per set of images and unit of cost, since APs of other images do not compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from cascade_exit.report.canvas import COLOURS
from cascade_exit.report.page.cells import exit_names, lookup
from cascade_exit.report.page.drawing import DASHES, GREY, Chart, exit_colour, new_figure, plain_text, run_colour
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

MACS, MS = "MMACs", "ms"
_SCALE = {MACS: 1e6, MS: 1.0}
_POINT = "%{fullData.name}<br>%{x:.1f}: AP %{y:.4f}<extra></extra>"


@dataclass
class _Plane:
    """A chart in the making: what was measured on one set, in one unit of cost."""

    unit: str
    figure: go.Figure
    runs: list[ReportedRun] = field(default_factory=list)


def trade_off_charts(lineage: Lineage) -> list[Chart]:
    """A chart for each set on which costs and APs are known."""
    planes: dict[tuple[str, str], _Plane] = {}
    for place, run in enumerate(lineage.runs):
        for unit, draw in _drawings(run):
            key = (run.measured_on or run.id, unit)
            plane = planes.setdefault(key, _Plane(unit, _empty(unit)))
            plane.runs.append(run)
            draw(plane.figure, run, place, lineage)
    return [Chart(_title(plane), plane.figure, plane.runs, wide=True) for plane in planes.values()]


def _drawings(run: ReportedRun) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if run.figures.get("exits"):
        found.append((MACS, _draw_measured))
    if run.tuning:
        found.append((MS if lookup(run.tuning, "cost.unit") == MS else MACS, _draw_tuned))
    return found


def _empty(unit: str) -> go.Figure:
    legend = {"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "font": {"size": 11}}
    return new_figure(f"mean cost of an image ({unit})", "AP", height_px=540, showlegend=True, legend=legend)


def _title(plane: _Plane) -> str:
    first = plane.runs[0]
    images = first.figures.get("images") or first.tuning.get("images")
    where = " ".join(filter(None, [str(images or ""), first.role or "", "images"]))
    names = lookup(first.figures, "data.annotations")
    return f"On {where}" + (f" ({names})" if names else "")


def _draw_measured(figure: go.Figure, run: ReportedRun, place: int, lineage: Lineage) -> None:
    label, colour = lineage.label(run), run_colour(place)
    exits = [name for name in exit_names([run]) if _has(run, f"exits.{name}")]
    points = [(name, lookup(run.figures, f"exits.{name}")) for name in exits]
    figure.add_scatter(
        x=[of_exit["macs"] / _SCALE[MACS] for _, of_exit in points],
        y=[of_exit["AP"] for _, of_exit in points],
        text=[name for name, _ in points],
        name=plain_text(f"{label}: exits"),
        mode="lines+markers+text",
        textposition="bottom center",
        line={"color": colour, "width": 1.5},
        marker={"size": 9, "color": [exit_colour(name) for name, _ in points], "line": {"color": colour, "width": 1.5}},
        hovertemplate="%{fullData.name}, %{text}<br>%{x:.1f}: AP %{y:.4f}<extra></extra>",
    )
    if _has(run, "policy"):
        policy = run.figures["policy"]
        cost = policy["macs"] / _SCALE[MACS]
        _point(figure, cost, policy["AP"], f"{label}: policy {policy.get('name', '')}", colour, "star", 15)
        for name, shape in (("oracle", "triangle-up-open"), ("random", "triangle-down-open")):
            ap = lookup(run.figures, f"bounds.{name}_AP")
            if ap is not None:
                _point(figure, cost, ap, f"{label}: {name} at the policy's cost", colour, shape, 9)
    if _has(run, "baseline"):
        baseline = run.figures["baseline"]
        name = f"{label}: baseline {baseline.get('run', '')}"
        _point(figure, baseline["macs"] / _SCALE[MACS], baseline["AP"], name, colour, "diamond-open", 10)


def _draw_tuned(figure: go.Figure, run: ReportedRun, place: int, lineage: Lineage) -> None:
    tuning, scale = run.tuning, _SCALE[MS if lookup(run.tuning, "cost.unit") == MS else MACS]
    for number, (family, found) in enumerate(tuning.get("families", {}).items()):
        chosen = family == tuning.get("chosen")
        front = sorted(found["front"], key=lambda point: point["mean_cost"])
        _line(
            figure,
            [point["mean_cost"] / scale for point in front],
            [point["ap"] for point in front],
            f"{run.id}: {family}",
            {
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number // len(COLOURS)],
                "width": 2.5 if chosen else 1.2,
            },
        )
        if chosen:
            point = found["point"]
            name = f"{lineage.label(run)}: chosen, {family}"
            _point(figure, point["mean_cost"] / scale, point["ap"], name, run_colour(place), "star", 15)
    for name, curve in _references(tuning).items():
        costs = [cost / scale for cost in curve["mean_costs"]]
        _line(
            figure,
            costs,
            curve["aps"],
            f"{run.id}: {name}",
            {"color": GREY, "dash": "dot" if name == "random" else "dashdot"},
        )
    alone = lookup(tuning, "references.alone") or {}
    figure.add_scatter(
        x=[point["mean_cost"] / scale for point in alone.values()],
        y=[point["ap"] for point in alone.values()],
        text=list(alone),
        name=plain_text(f"{run.id}: exits alone"),
        mode="markers+text",
        textposition="bottom center",
        marker={"size": 9, "color": [exit_colour(name) for name in alone]},
        hovertemplate="%{fullData.name}, %{text}<br>%{x:.1f}: AP %{y:.4f}<extra></extra>",
    )
    for static in lookup(tuning, "cost.statics") or ():
        _point(figure, static["cost"] / scale, static["ap"], f"{run.id}: static {static['name']}", GREY, "diamond", 10)


def _references(tuning: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    references: Mapping[str, Any] = tuning.get("references", {})
    return {name: references[name] for name in ("random", "oracle") if name in references}


def _has(run: ReportedRun, path: str) -> bool:
    return all(lookup(run.figures, f"{path}.{key}") is not None for key in ("macs", "AP"))


def _line(
    figure: go.Figure, x: Sequence[float | int], y: Sequence[float | int], name: str, line: Mapping[str, Any]
) -> None:
    # A front of one point has no line to show.
    mode = "lines" if len(x) > 1 else "markers"
    marker = {"color": line["color"], "size": 6}
    figure.add_scatter(
        x=list(x), y=list(y), name=plain_text(name), mode=mode, line=dict(line), marker=marker, hovertemplate=_POINT
    )


def _point(figure: go.Figure, x: float | int, y: float | int, name: str, colour: str, shape: str, size: int) -> None:
    marker = {"symbol": shape, "size": size, "color": colour}
    figure.add_scatter(x=[x], y=[y], name=plain_text(name), mode="markers", marker=marker, hovertemplate=_POINT)
