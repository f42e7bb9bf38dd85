"""What a benchmark came to, as tables and as a figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from cascade_exit.model import FULL
from cascade_exit.report import Curve, Mark, trade_off

Figures = Mapping[str, Any]


def aps_of(metrics: Figures) -> dict[str, float]:
    """AP of each contender: whoever exits nowhere has that of the full exit."""
    own_full = metrics["exits"][FULL].get("AP")
    aps = {"policy": metrics["policy"].get("AP"), "nothing exits": own_full, FULL: own_full}
    aps |= {name: static.get("AP") for name, static in metrics["statics"].items()}
    return {name: ap for name, ap in aps.items() if ap is not None}


def case_table(case: Figures, metrics: Figures) -> Table:
    """One way of running: a row per contender."""
    words = "1 thread" if case["threads"] == 1 else f"{case['threads']} threads"
    title = f"{case['backend']}, {words}, batch {case['batch_size']}: milliseconds of an image, {case['images']} images"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    for column in ("AP", "resize", "network", "boxes", "all", "p50", "p90", "p99", "speedup", "from file"):
        table.add_column(column, justify="right")
    aps = aps_of(metrics)
    for name, figures in case["contenders"].items():
        times = [figures[key] for key in ("resize_ms", "network_ms", "postprocessing_ms", "mean_ms")]
        times += [figures["latency_ms"][key] for key in ("p50", "p90", "p99")]
        speedups = [_speedup(figures, key) for key in ("speedup", "speedup_end_to_end")]
        ap = f"{aps[name]:.3f}" if name in aps else "–"
        table.add_row(name, ap, *(f"{value:.2f}" for value in times), *speedups)
    over = metrics["baseline"]["run"]
    table.caption = (
        f"speedup over {over}, 95 % of resamples below; from file: {case['decode_ms']:.2f} ms of decoding added"
    )
    return table


def _speedup(figures: Figures, key: str) -> str:
    text = f"{figures[key]:.2f}"
    if interval := figures.get(f"{key}_interval"):
        text += f"\n[dim]{interval[0]:.2f}–{interval[1]:.2f}[/]"
    return text


def ap_latency(metrics: Figures) -> Figure:
    """AP over milliseconds of the case that was asked for."""
    case, aps = metrics["latency"][0], aps_of(metrics)
    marks = [
        Mark(name, figures["mean_ms"], aps[name], chosen=name == "policy")
        for name, figures in case["contenders"].items()
        if name in aps
    ]
    statics = sorted((mark.cost, mark.ap) for mark in marks if mark.name in metrics["statics"])
    costs, of_statics = np.array(statics, np.float64).reshape(-1, 2).T
    curves = [Curve("static models", costs, of_statics, reference=True)] if len(statics) > 1 else []
    return trade_off(curves, marks, f"ms; {case['backend']}, batch {case['batch_size']}, threads {case['threads']}")
