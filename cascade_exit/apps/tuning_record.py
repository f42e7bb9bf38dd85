"""tuning.json: everything that was tried, and what of it is shown."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cascade_exit.apps.tuning_outcome import Outcome
from cascade_exit.config import TuneConfig
from cascade_exit.evaluation import bootstrap_interval, relative_drop_interval
from cascade_exit.policies.calibration_report import CalibrationReport, report_calibration
from cascade_exit.policies.crossfit import RESAMPLES, CrossFit
from cascade_exit.policies.distributions import StatisticDistribution, statistic_distributions
from cascade_exit.policies.policy import words_for_infinity
from cascade_exit.policies.references import Bounds, Curve, greedy_oracle, random_curve, routing_bounds
from cascade_exit.policies.scoring import Score
from cascade_exit.runs import Run, atomic_write_json, plain

RECORD, FIGURES = "tuning.json", "figures"


@dataclass(frozen=True, eq=False)
class References:
    """What the policies are compared with, and what is known of scores and statistics.

    Attributes:
        alone: every exit that answers for all images.
        random: exits drawn by chance.
        oracle: the greedy one.
        bounds: where the point chosen stands between them.
        calibration: before and after.
        distributions: of statistics, by exit and name.
    """

    alone: dict[str, Score]
    random: Curve
    oracle: Curve
    bounds: Bounds
    calibration: CalibrationReport
    distributions: dict[str, dict[str, StatisticDistribution]]


def find_references(outcome: Outcome) -> References:
    """Compares an outcome with what could be had without a policy, by chance and by foresight."""
    tuning, scorer = outcome.bench.tuning, outcome.bench.scorer
    oracle = greedy_oracle(scorer)
    return References(
        alone={name: scorer.score(np.full(scorer.images, place)) for place, name in enumerate(scorer.exit_names)},
        random=random_curve(scorer),
        oracle=oracle.curve,
        bounds=routing_bounds(scorer, outcome.choice, oracle),
        calibration=report_calibration(tuning.trace, tuning.calibration),
        distributions=statistic_distributions(tuning.trace, calibration=tuning.calibration),
    )


def record_outcome(run: Run, outcome: Outcome, references: References, config: TuneConfig) -> None:
    """Writes tuning.json, and the policy's figures into the manifest."""
    goal = asdict(config.limits()) if outcome.control is None else asdict(config.risk)
    record = {
        "asked_for": goal,
        "images": len(outcome.bench.tuning.trace),
        "note": outcome.note,
        "baseline": asdict(outcome.bench.scorer.baseline),
        "cost": asdict(outcome.costs) | {"passed_by": list(outcome.costs.passed_by)},
        "chosen": outcome.chosen,
        "bounds": asdict(references.bounds),
        "families": {name: _family(name, outcome) for name in outcome.families},
        "left_out": outcome.left_out,
        "risk": None if outcome.control is None else asdict(outcome.control),
        "certified": None if outcome.certified is None else asdict(outcome.certified),
        "references": {
            "alone": {name: asdict(score) for name, score in references.alone.items()},
            "random": _curve(references.random),
            "oracle": _curve(references.oracle),
        },
        "calibration": {
            "fitted": {name: asdict(each) for name, each in outcome.bench.tuning.calibration.items()},
            **asdict(references.calibration),
        },
        "distributions": {
            name: {statistic: asdict(each) for statistic, each in of_exit.items()}
            for name, of_exit in references.distributions.items()
        },
    }
    atomic_write_json(run.folder / RECORD, plain(words_for_infinity(record)))
    baseline = outcome.bench.scorer.baseline
    run.manifest.metrics["policy"] = plain(_policy_figures(outcome))
    run.manifest.metrics["baseline"] = {"run": baseline.name, "AP": baseline.ap, "AP50": baseline.ap50}


def show_record(run: Run, model: str, console: Console) -> None:
    """Prints the families, the calibration and what was chosen."""
    record = json.loads((run.folder / RECORD).read_text(encoding="utf-8"))
    console.print(_family_table(record, f"{model}: families of policies on {record['images']} calibrate images"))
    for name, reason in record["left_out"].items():
        console.print(f"[dim]Left out[/] {name}: {reason}", highlight=False)
    console.print(_calibration_table(record["calibration"]))
    for line in _chosen_lines(record):
        console.print(line, highlight=False)


def _family(name: str, outcome: Outcome) -> dict[str, Any]:
    family, fair = outcome.families[name], outcome.fair.get(name)
    return {
        "point": asdict(outcome.points[name]),
        "crossfitted": None if fair is None else _crossfitted(fair, outcome, intervals=name == outcome.chosen),
        "front": [asdict(point) for point in family.front],
        "points": [asdict(point) for point in family.points],
    }


def _crossfitted(fair: CrossFit, outcome: Outcome, intervals: bool) -> dict[str, Any]:
    facts = asdict(fair.score)
    if intervals:
        static = outcome.bench.static.matches
        facts["intervals"] = {
            "ap": bootstrap_interval(fair.matches, resamples=RESAMPLES),
            "relative_ap_drop": relative_drop_interval(fair.matches, static, resamples=RESAMPLES),
        }
    return facts


def _policy_figures(outcome: Outcome) -> dict[str, Any]:
    """As metrics.json names them."""
    point = outcome.certified or outcome.point
    speedup = "speedup_macs" if outcome.costs.unit == "MACs" else "speedup_latency"
    return {
        "AP": point.ap,
        "AP50": point.ap50,
        "relative_ap_drop": point.relative_ap_drop,
        "exit_rates": point.exit_rates,
        speedup: point.speedup,
    }


def _curve(curve: Curve) -> dict[str, list[float]]:
    return {"mean_costs": curve.mean_costs.tolist(), "aps": curve.aps.tolist()}


def _family_table(record: Mapping[str, Any], title: str) -> Table:
    exits = tuple(record["cost"]["by_exit"])
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("family")
    for column in ("AP", "drop", "speedup", *(f"leave at {name}" for name in exits)):
        table.add_column(column, justify="right")
    fair = any(each["crossfitted"] for each in record["families"].values())
    for column in ("cross-fitted drop", "speedup") if fair else ():
        table.add_column(column, justify="right")
    for name, each in record["families"].items():
        point, judged = each["point"], each["crossfitted"]
        cells = [f"{point['ap']:.3f}", f"{point['relative_ap_drop']:.1%}", f"{point['speedup']:.2f}"]
        cells += [f"{point['exit_rates'][exit_name]:.0%}" for exit_name in exits]
        if fair:
            cells += [f"{judged['relative_ap_drop']:.1%}", f"{judged['speedup']:.2f}"] if judged else ["–", "–"]
        chosen = name == record["chosen"]
        table.add_row(f"{name} *" if chosen else name, *cells, style="bold" if chosen else None)
    for name, score in record["references"]["alone"].items():
        cells = [f"{score['ap']:.3f}", f"{score['relative_ap_drop']:.1%}", f"{score['speedup']:.2f}"]
        table.add_row(f"{name} alone", *cells, style="dim")
    baseline = record["baseline"]
    for static in record["cost"]["statics"]:
        speedup, drop = baseline["cost"] / static["cost"], 1 - static["ap"] / baseline["ap"]
        table.add_row(static["name"], f"{static['ap']:.3f}", f"{drop:.1%}", f"{speedup:.2f}", style="dim")
    table.caption = f"speedup in {record['cost']['unit']} and drop of AP against {baseline['name']}; * chosen"
    return table


def _calibration_table(calibration: Mapping[str, Any]) -> Table:
    before, after = calibration["pooled_ap_before"], calibration["pooled_ap_after"]
    table = Table(title=f"Calibration: pooled AP {before:.3f} before, {after:.3f} after", title_justify="left")
    table.add_column("exit")
    for column in ("temperature", "NLL", "ECE", "detection-ECE"):
        table.add_column(column, justify="right")
    for name, report in calibration["exits"].items():
        cells = [f"{calibration['fitted'][name]['temperature']:.2f}"]
        for key in ("nll", "ece", "detection_ece"):
            sides = (report["before"], report["after"])
            cells.append(" → ".join("–" if side is None else f"{side[key]:.4f}" for side in sides))
        table.add_row(name, *cells)
    return table


def _chosen_lines(record: Mapping[str, Any]) -> list[str]:
    name = record["chosen"]
    judged, bounds = record["families"][name]["crossfitted"], record["bounds"]
    lines = []
    if passed_by := record["cost"]["passed_by"]:
        lines.append(f"Passed by, because answering there costs more here than it saves: {', '.join(passed_by)}")
    if record["risk"] is not None:
        lines += [f"Risk: {record['note']}", _certificate_line(record)]
    elif judged is not None:
        line = (
            f"Chosen: {name}; each image decided by a policy tuned without it: speedup {judged['speedup']:.2f}, "
            f"{_cost(judged['mean_cost'], record['cost']['unit'])} an image, relative AP drop "
            f"{judged['relative_ap_drop']:.1%}"
        )
        if interval := judged["intervals"]["relative_ap_drop"]:
            line += f" (95 % of resamples: {interval[0]:.1%} to {interval[1]:.1%})"
        lines.append(line)
    at = f"At its mean cost: random AP {bounds['random_ap']:.3f}, greedy oracle {bounds['oracle_ap']:.3f}"
    lines.append(at if bounds["efficacy"] is None else f"{at}, efficacy {bounds['efficacy']:.2f}")
    return lines


def _cost(mean_cost: float, unit: str) -> str:
    return f"{mean_cost / 1e6:.0f} million MACs" if unit == "MACs" else f"{mean_cost:.1f} ms"


def _certificate_line(record: Mapping[str, Any]) -> str:
    certificate, score = record["risk"]["certificate"], record["certified"]
    if certificate is None:
        return f"[yellow]No certificate[/] ({record['risk']['reason']})"
    sure = "in expectation" if certificate["delta"] is None else f"with confidence {1 - certificate['delta']:.0%}"
    which = "images with objects" if certificate["loss"] == "recall" else "images"
    line = (
        f"Certificate for {record['chosen']}: mean {certificate['loss']} loss against full at most "
        f"{certificate['epsilon']:g} {sure} (bound {certificate['bound']:.4f}, observed "
        f"{certificate['mean_loss']:.4f}, {certificate['images']} {which}, scores from "
        f"{certificate['score_threshold']:g}); on these images speedup {score['speedup']:.2f}, "
        f"relative AP drop {score['relative_ap_drop']:.1%}"
    )
    if certificate["loss"] == "recall":
        line += (
            f"; of {certificate['empty_images']} images without objects, of which it says nothing, "
            f"{certificate['empty_loss']:.1%} show a false object that full does not"
        )
    return line
