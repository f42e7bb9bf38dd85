"""What tuning and evaluating show as tables and charts in W&B."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger

from cascade_exit.apps.judging import Subject
from cascade_exit.apps.policy_figures import cost_scale, trade_off_curves
from cascade_exit.apps.tuning_outcome import Outcome
from cascade_exit.apps.tuning_record import References
from cascade_exit.evaluation import DetectionArrays, Matches, image_quality
from cascade_exit.policies.scoring import Score
from cascade_exit.tracking import BoxedImage, log_curves, log_table

GROUND_TRUTH = "ground truth"
SCORE_THRESHOLD = 0.3


def log_tuning(logger: Logger, outcome: Outcome, references: References) -> None:
    """Logs the table `operating_points`, of every family's front and every exit alone, and the chart `trade_off`."""
    names, (scale, unit) = outcome.bench.scorer.exit_names, cost_scale(outcome)
    columns = ["policy", "picked", "AP", "AP50", "relative AP drop", "speedup", f"mean cost ({unit})"]
    columns += [f"leave at {name}" for name in names] + [f"threshold {name}" for name in names[:-1]]

    def row(name: str, picked: str, point: Score | Any, thresholds: Mapping[str, float]) -> list[Any]:
        figures = [point.ap, point.ap50, point.relative_ap_drop, point.speedup, point.mean_cost * scale]
        rates = [point.exit_rates[exit_name] for exit_name in names]
        return [name, picked, *figures, *rates, *(_finite(thresholds.get(exit_name)) for exit_name in names[:-1])]

    rows = [row(f"{name} alone", "", score, {}) for name, score in references.alone.items()]
    for name, family in outcome.families.items():
        best = outcome.points[name]
        points = [*(point for point in family.front if point != best), best]
        for point in sorted(points, key=lambda point: point.mean_cost):
            picked = ("chosen" if name == outcome.chosen else "of its family") if point == best else ""
            rows.append(row(name, picked, point, point.thresholds))
    log_table(logger, "operating_points", columns, rows)

    curves = {curve.name: (curve.costs.tolist(), curve.aps.tolist()) for curve in trade_off_curves(outcome, references)}
    alone = sorted((score.mean_cost * scale, score.ap) for score in references.alone.values())
    curves["exits alone"] = ([cost for cost, _ in alone], [ap for _, ap in alone])
    log_curves(logger, "trade_off", curves, "AP over mean cost", f"mean cost of an image ({unit})")


def log_per_class(logger: Logger, classes: Mapping[str, Mapping[str, Any]], exits: Sequence[str]) -> None:
    """Logs the table `per_class`: boxes of every class, its AP at every exit and, with a policy, what becomes of it."""
    with_policy = any("policy" in figures for figures in classes.values())
    columns = ["class", "boxes", *(f"AP {name}" for name in exits)]
    columns += ["AP policy", "relative drop from full", "leave early"] if with_policy else []
    rows = []
    for name, figures in classes.items():
        row = [name, figures["boxes"], *(figures["exits"].get(exit_name, {}).get("AP") for exit_name in exits)]
        if with_policy:
            row += [figures.get("policy", {}).get("AP"), figures.get("drop", {}).get("full"), figures.get("early")]
        rows.append(row)
    log_table(logger, "per_class", columns, rows)


def log_predictions(
    logger: Logger,
    subject: Subject,
    found: Mapping[str, Mapping[int, DetectionArrays]],
    matches: Mapping[str, Matches],
    choice: np.ndarray | None,
    shown: Sequence[int],
) -> None:
    """Logs the table `predictions`: photos with the boxes of every exit as layers, and how good each exit is on them.

    Args:
        logger: of the run.
        subject: what is evaluated.
        found: detections by exit name and image id.
        matches: of every exit on the whole set.
        choice: index of each image's exit, in the order of the matches.
        shown: ids of the images.
    """
    exits, names = tuple(found), subject.images.class_map.names
    quality = {name: image_quality(matches[name], SCORE_THRESHOLD) for name in exits}
    columns = ["image", "id", "group", "kind", "objects", *(["leaves at"] if choice is not None else [])]
    columns += [f"{what} {name}" for name in exits for what in ("recall", "false alarms")]
    rows = []
    for image_id in shown:
        record = subject.images.by_id[image_id]
        place = int(np.searchsorted(matches[exits[0]].image_ids, image_id))
        truth = DetectionArrays(record.boxes, np.ones(len(record.labels), np.float32), record.labels)
        layers = {GROUND_TRUTH: truth} | {name: of_exit[image_id] for name, of_exit in found.items()}
        facts = [image_id, record.group, record.difficulty or "", int((~record.crowd).sum())]
        leaves = [] if choice is None else [exits[choice[place]]]
        figures = [
            value
            for name in exits
            for value in (_finite(quality[name].recall[place]), int(quality[name].false_positives[place]))
        ]
        rows.append([BoxedImage(subject.store.read(record), layers, names), *facts, *leaves, *figures])
    log_table(logger, "predictions", columns, rows)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
