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
    first = next(iter(next(iter(by.values())).values()))
    _figure_columns(table, ("kind", "images"), exits, first)
    if "policy" in first:
        table.add_column("relative drop", justify="right", no_wrap=True)
    words = {"difficulty": "", "objects": " objects", "size": " (most objects)", "crowding": " objects"}
    for name, kinds in by.items():
        for kind, figures in kinds.items():
            noun = words[name].removesuffix("s") if (name, kind) == ("objects", "1") else words[name]
            cells = [f"{kind}{noun}", str(figures["images"]), *_figure_cells(figures, exits)]
            if "policy" in figures:
                drop = figures.get("intervals", {}).get("relative_ap_drop")
                cells.append(_share(figures.get("relative_ap_drop"), drop))
            table.add_row(*cells)
        table.add_section()
    return table


def classes_table(metrics: Figures) -> Table:
    """A line per class: AP at each exit, and, with a policy, its AP, its drop and the share that leaves early."""
    classes, exits = metrics["classes"], tuple(metrics["exits"])
    with_policy = "policy" in metrics
    table = Table(title="Class by class: AP", title_justify="left")
    columns = ["boxes", *exits, *(["policy", "drop from full", "leave early"] if with_policy else [])]
    for column in ("class", *columns):
        table.add_column(column, justify="left" if column == "class" else "right", no_wrap=column != "class")
    for name, figures in classes.items():
        cells = [f"{figures['boxes']:,}{'*' if figures['few'] else ''}"]
        cells += [_number(figures["exits"].get(exit_name, {}).get("AP"), "AP") for exit_name in exits]
        if with_policy:
            cells.append(_number(figures.get("policy", {}).get("AP"), "AP"))
            cells.append(_share(figures.get("drop", {}).get("full"), figures.get("intervals", {}).get("drop.full")))
            cells.append(_share(figures.get("early"), figures.get("intervals", {}).get("early")))
        table.add_row(name, *cells)
    notes = []
    if any(figures["few"] for figures in classes.values()):
        notes.append("* too few for a claim.")
    if spread := metrics.get("class_drop", {}).get("full"):
        chance = f", {spread['std_by_chance']:.1%} by chance alone" if "std_by_chance" in spread else ""
        notes.append(
            f"Drops of {spread['classes']} classes: {spread['min']:.1%} to {spread['max']:.1%}, the middle half "
            f"{spread['quartile1']:.1%} to {spread['quartile3']:.1%}, standard deviation {spread['std']:.1%}{chance}."
        )
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
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


def _share(value: float | None, interval: Sequence[float | int] | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1%}" + (f" [dim]({100 * interval[0]:.0f} to {100 * interval[1]:.0f})[/]" if interval else "")


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
