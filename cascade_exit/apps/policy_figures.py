"""Figures and pictures of what tuning came to."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cascade_exit.apps.tuning_outcome import Outcome
from cascade_exit.apps.tuning_record import References
from cascade_exit.data import CocoSet, ImageStore
from cascade_exit.evaluation import expected_calibration_error
from cascade_exit.policies.distributions import as_good_as, image_correctness
from cascade_exit.policies.operating_points import PLAN_STATISTIC, rule_values
from cascade_exit.policies.pooling import Calibrations, calibrated_scores, detection_rows
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.policies.tuning import NEVER_STOPS, PLAN, TunedFamily
from cascade_exit.report import (
    Curve,
    Mark,
    Reliability,
    reliability_diagrams,
    save_figure,
    statistic_histograms,
    threshold_heat_maps,
    trade_off,
)
from cascade_exit.trace import Trace
from cascade_exit.visualization import save_exit_grid

MILLION = 1e6


def draw_figures(folder: Path, outcome: Outcome, references: References) -> None:
    """Writes trade_off.png, reliability.png, statistics.png, and heat maps of the plan's family and the chosen one."""
    trace, calibration = outcome.bench.tuning.trace, outcome.bench.tuning.calibration
    save_figure(_trade_off(outcome, references), folder / "trade_off.png")
    before, after = (_reliability(trace, used) for used in ({}, calibration))
    save_figure(reliability_diagrams(before, after), folder / "reliability.png")
    save_figure(_histograms(trace, calibration, references), folder / "statistics.png")
    for name in dict.fromkeys((PLAN, outcome.chosen)):
        family = outcome.families.get(name)
        if family is not None and len(family.rules) == 2:
            save_figure(_heat_maps(family, outcome), folder / f"thresholds_{name}.png")


def draw_pictures(folder: Path, outcome: Outcome, images: CocoSet, store: ImageStore, count: int) -> None:
    """Writes leaving.png, what leaves where, and mistakes.png, where leaving early lost most (if it lost anything).

    Args:
        folder: where to.
        outcome: of tuning.
        images: the set that was traced.
        store: where decoded images come from.
        count: images in each.
    """
    trace, choice = outcome.bench.tuning.trace, outcome.choice
    names = trace.header.exit_names
    correct = np.stack([image_correctness(trace.exits[name].quality) for name in names])
    lost = correct[-1] - correct[choice, np.arange(len(trace))]
    worst = [int(place) for place in np.argsort(-lost, kind="stable")[:count] if lost[place] > 0]
    image_ids = [image.image_id for image in trace.truth]
    found = {name: trace.exits[name].detections.by_image_id(image_ids) for name in names}
    for name, places in (("leaving", _spread_over_exits(trace, choice, count)), ("mistakes", worst)):
        if places:
            notes = {image_ids[place]: _note(trace, correct, place, int(choice[place])) for place in places}
            save_exit_grid(
                images, store, found, list(notes), folder / f"{name}.png", notes, trace.header.score_threshold
            )


def _note(trace: Trace, correct: np.ndarray, place: int, exit_index: int) -> str:
    leaving = f"leaves at {trace.header.exit_names[exit_index]}"
    if not len(trace.truth[place].labels) or exit_index == len(correct) - 1:
        return leaving
    return f"{leaving}: F1 {correct[exit_index, place]:.2f}, full {correct[-1, place]:.2f}"


def _spread_over_exits(trace: Trace, choice: np.ndarray, count: int) -> list[int]:
    """Places of images, as many of each exit as there are, those with objects first."""
    with_objects = np.array([len(image.labels) > 0 for image in trace.truth])
    queues = []
    for exit_index in range(len(trace.header.exit_names)):
        places = np.flatnonzero(choice == exit_index)
        queues.append([*places[with_objects[places]], *places[~with_objects[places]]])
    in_turns = [queue[turn] for turn in range(count) for queue in queues if turn < len(queue)][:count]
    return sorted((int(place) for place in in_turns), key=lambda place: (choice[place], place))


def cost_scale(outcome: Outcome) -> tuple[float, str]:
    """What to multiply costs with, and the unit that they then have."""
    return (1 / MILLION, "million MACs") if outcome.costs.unit == "MACs" else (1.0, "ms")


def trade_off_curves(outcome: Outcome, references: References) -> list[Curve]:
    """The front of every family, chance and the oracle."""
    scale, _ = cost_scale(outcome)
    curves = [
        Curve(
            name,
            np.array([point.mean_cost for point in family.front]) * scale,
            np.array([point.ap for point in family.front]),
        )
        for name, family in outcome.families.items()
    ]
    for name, curve in (("random", references.random), ("greedy oracle", references.oracle)):
        curves.append(Curve(name, curve.mean_costs * scale, curve.aps, reference=True))
    return curves


def _trade_off(outcome: Outcome, references: References) -> Figure:
    scale, unit = cost_scale(outcome)
    marks = [Mark(f"{name} alone", score.mean_cost * scale, score.ap) for name, score in references.alone.items()]
    marks += [Mark(static.name, static.cost * scale, static.ap) for static in outcome.costs.statics]
    marks.append(Mark(f"chosen: {outcome.chosen}", outcome.point.mean_cost * scale, outcome.point.ap, chosen=True))
    return trade_off(trade_off_curves(outcome, references), marks, unit)


def _reliability(trace: Trace, calibration: Calibrations) -> dict[str, Reliability]:
    found = {}
    for name in trace.header.exit_names:
        outcomes = detection_rows(trace, name)
        scores = calibrated_scores(trace.exits[name].detections, calibration.get(name))[outcomes.counted]
        correct = outcomes.correct[outcomes.counted]
        error = expected_calibration_error(scores.astype(np.float64), correct) if correct.size else None
        found[name] = Reliability(scores, correct, error)
    return found


def _histograms(trace: Trace, calibration: Calibrations, references: References) -> Figure:
    values: dict[str, dict[str, np.ndarray]] = {}
    good: dict[str, np.ndarray] = {}
    full = trace.exits[trace.header.exit_names[-1]].quality
    for name in trace.header.exit_names[:-1]:
        values[name] = {
            statistic: rule_values(trace, {name: ThresholdRule(statistic, NEVER_STOPS)}, calibration)[name]
            for statistic in references.distributions[name]
        }
        good[name] = as_good_as(trace.exits[name].quality, full)
    auroc = {
        name: {statistic: each.auroc for statistic, each in references.distributions[name].items()} for name in values
    }
    return statistic_histograms(values, good, auroc)


def _heat_maps(family: TunedFamily, outcome: Outcome) -> Figure:
    first, second = family.rules
    grid = [sorted({point.thresholds[name] for point in family.points}) for name in (first, second)]
    by_thresholds = {(point.thresholds[first], point.thresholds[second]): point for point in family.points}
    table = [[by_thresholds[one, two] for two in grid[1]] for one in grid[0]]

    maps = {
        f"share leaving at {name}": np.array([[point.exit_rates[name] for point in row] for row in table])
        for name in (first, second)
    }
    maps["AP"] = np.array([[point.ap for point in row] for row in table])
    maps["speedup"] = np.array([[point.speedup for point in row] for row in table])
    what = PLAN_STATISTIC if family.name == PLAN else family.name
    chosen = None
    if family.name == outcome.chosen:
        at = (outcome.point.thresholds[first], outcome.point.thresholds[second])
        # A certified point lies on a path of its own.
        chosen = at if at in by_thresholds else None
    one, two = ((name, np.array(thresholds)) for name, thresholds in zip((first, second), grid, strict=True))
    return threshold_heat_maps(one, two, maps, what, chosen)
