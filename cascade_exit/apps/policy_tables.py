"""What policies are worth, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

Figures = Mapping[str, Any]
NOTHING = "–"


def policy_table(metrics: Figures) -> Table:
    """The policy beside the baseline and the references, with intervals below the figures."""
    policy, baseline, bounds = metrics["policy"], metrics["baseline"], metrics["bounds"]
    intervals = metrics.get("intervals", {})
    table = Table(title=f"Policy {policy['name']} against {baseline['run']}", title_justify="left")
    for column in ("", "AP", "AP50", "relative drop", "MMACs", "speedup (MACs)", "ms", "speedup (ms)"):
        table.add_column(column, justify="right" if column else "left")
    keys = ("AP", "AP50", "relative_ap_drop", "macs", "speedup_macs", "mean_latency_ms", "speedup_latency")
    table.add_row("policy", *(_cell(policy, key, intervals.get(f"policy.{key}")) for key in keys))
    table.add_row("baseline", *(_cell(baseline, key) for key in keys))
    table.add_row("random, at this cost", _number(bounds.get("random_AP"), "AP"))
    table.add_row("oracle, at this cost", _number(bounds.get("oracle_AP"), "AP"))
    rates = ", ".join(f"{name} {rate:.1%}" for name, rate in policy["exit_rates"].items())
    efficacy = f"{bounds['efficacy']:.2f}" if "efficacy" in bounds else "not told from chance"
    table.caption = f"Leave at {rates}. Efficacy: {efficacy}."
    if "runner" in policy:
        kept = policy["runner"]
        table.caption += (
            f"\nThe runner kept the trace's promise on {kept['images']} images "
            f"({kept['near_threshold']} on a threshold; boxes to {kept['max_box_difference_px']:.1g} px)."
        )
    table.caption_justify = "left"
    return table


def kinds_table(by: Mapping[str, Mapping[str, Figures]], exits: Sequence[str]) -> Table:
    """AP50 by kind of image, and where they leave."""
    table = Table(title="AP50 by kind of image", title_justify="left")
    _figure_columns(table, ("kind", "images"), exits, next(iter(next(iter(by.values())).values())))
    words = {"difficulty": "", "objects": " objects", "largest": " (largest object)"}
    for name, kinds in by.items():
        for kind, figures in kinds.items():
            noun = words[name].removesuffix("s") if (name, kind) == ("objects", "1") else words[name]
            table.add_row(f"{kind}{noun}", str(figures["images"]), *_figure_cells(figures, exits))
        table.add_section()
    return table


def corruption_table(corruptions: Mapping[str, Mapping[str, Figures]], exits: Sequence[str]) -> Table:
    """AP50 under each corruption, and where the images leave."""
    table = Table(title="AP50 under corruptions", title_justify="left")
    _figure_columns(table, ("corruption", "severity"), exits, next(iter(next(iter(corruptions.values())).values())))
    for name, severities in corruptions.items():
        for severity, figures in severities.items():
            table.add_row(name, severity, *_figure_cells(figures, exits))
        table.add_section()
    return table


def crossfit_table(metrics: Figures) -> Table:
    """Families by limit of the drop, and fixed thresholds."""
    best = metrics["crossfit_best"]
    table = Table(title="Cross-fitted policies: relative AP drop and speedup in MACs", title_justify="left")
    table.add_column("family")
    for drop in best:
        table.add_column(f"drop ≤ {float(drop):.0%}", justify="right")
    for family, by_drop in metrics["crossfit"].items():
        cells = [_trade(by_drop[drop], best[drop] == family) for drop in best]
        table.add_row(family, *cells)
    table.add_section()
    for title, figures in metrics["fixed_thresholds"].items():
        table.add_row(title, _trade(figures, False))
    fastest = ", ".join(f"{family} (≤ {float(drop):.0%})" for drop, family in best.items())
    table.caption = f"Best: {fastest}; chosen on these images, so flattered. Fixed thresholds are tuned for no drop."
    table.caption_justify = "left"
    return table


def _trade(figures: Figures, best: bool) -> str:
    text = f"{_number(figures.get('relative_ap_drop'), 'relative_ap_drop')} {figures['speedup_macs']:.2f}x"
    return f"[bold]{text}[/]" if best else text


def _figure_columns(table: Table, first: Sequence[str], exits: Sequence[str], figures: Figures) -> None:
    for column in first:
        table.add_column(column)
    shown = (*exits, "policy") if "policy" in figures else exits
    for name in shown:
        table.add_column(name, justify="right")
    if "exit_rates" in figures:
        for name in exits:
            table.add_column(f"leave at {name}", justify="right")


def _figure_cells(figures: Figures, exits: Sequence[str]) -> list[str]:
    shown = (*exits, "policy") if "policy" in figures else exits
    cells = [_number(figures[name].get("AP50"), "AP50") for name in shown]
    return cells + [f"{figures['exit_rates'][name]:.1%}" for name in exits if "exit_rates" in figures]


def _cell(figures: Figures, key: str, interval: Sequence[float | int] | None = None) -> str:
    text = _number(figures.get(key), key)
    if interval is None:
        return text
    low, high = (_number(end, key) for end in interval)
    return f"{text}\n[dim]{low} to {high}[/]"


def _number(value: float | int | None, key: str) -> str:
    if value is None:
        return NOTHING
    match key:
        case "relative_ap_drop":
            return f"{value:.1%}"
        case "macs":
            return f"{value / 1e6:.0f}"
        case "mean_latency_ms":
            return f"{value:.1f}"
        case "speedup_macs" | "speedup_latency":
            return f"{value:.2f}"
        case _:
            return f"{value:.3f}"
