"""What a choice of exits is worth on a trace: AP, cost, and both against the baseline."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cascade_exit.evaluation import ExitMixture, Matches, Measure, average_precision, average_precisions, mixture_ap
from cascade_exit.evaluation.average_precision import ImageWeights
from cascade_exit.policies.pooling import Calibrations, calibrated_matches
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

Costs = Mapping[str, float | int]


@dataclass(frozen=True)
class Baseline:
    """The static model that drop and speedup are measured against.

    Attributes:
        ap: on the images of the trace.
        ap50: likewise.
        cost: of an image, in the unit of the exits' costs.
        name: for tables.
    """

    ap: float
    ap50: float
    cost: float
    name: str = "full"


@dataclass(frozen=True, eq=False)
class Static:
    """A static model on a set of images, as a baseline for any part of them.

    Attributes:
        name: its run; `full` for the model's own last exit.
        matches: of its detections on all images.
        cost: of an image, in the unit of the exits' costs.
    """

    name: str
    matches: Matches
    cost: float | int

    def on(self, trace: Trace) -> Baseline:
        """The baseline on the images of a trace.

        Raises:
            UserError: the static model was not run on one of them.
        """
        ids = [image.image_id for image in trace.truth]
        shown = np.isin(self.matches.image_ids, ids)
        if shown.sum() != len(ids):
            raise UserError(
                f"baseline {self.name}: it was run on {shown.sum()} of the {len(ids)} images of the trace of "
                f"{trace.header.role}; run both on the same set"
            )
        aps = average_precisions(self.matches, shown, ("AP", "AP50"))
        return Baseline(aps["AP"], aps["AP50"], float(self.cost), self.name)


@dataclass(frozen=True)
class Score:
    """A choice of exits in figures.

    Attributes:
        exit_rates: share of the images that leave at each exit.
        ap: AP over IoU 0.50 to 0.95, in 0..1.
        ap50: AP at IoU 0.5.
        mean_cost: per image, in the unit of the exits' costs.
        speedup: baseline's cost / mean cost.
        relative_ap_drop: (baseline's AP - AP) / baseline's AP; below zero where the choice is better.
    """

    exit_rates: dict[str, float]
    ap: float
    ap50: float
    mean_cost: float
    speedup: float
    relative_ap_drop: float


class Scorer:
    """AP and cost of any choice of exits on one trace; the matching is done once, here.

    Args:
        trace: at least one image with an object.
        costs: of an image that leaves at each exit, by exit name; MACs or milliseconds.
        calibration: of the scores, by exit name.
        baseline: the last exit, as the trace has it, where None.

    Raises:
        UserError: the trace has no image or no object, or an exit has no cost.
    """

    def __init__(
        self,
        trace: Trace,
        costs: Costs,
        calibration: Calibrations | None = None,
        baseline: Baseline | None = None,
    ) -> None:
        if not len(trace):
            raise UserError(f"trace of {trace.header.role}: it holds no image; trace a split that has some")
        self.exit_names = trace.header.exit_names
        self.costs = cost_array(self.exit_names, costs)
        self.matches = tuple(calibrated_matches(trace, name, calibration) for name in self.exit_names)
        self.mixture = ExitMixture(self.matches)
        self.images = len(trace)
        self.baseline = baseline or self._full(trace, calibration)
        if np.isnan(self.baseline.ap):
            raise UserError(f"trace of {trace.header.role}: no image has an object, so that nothing has an AP")

    def ap(
        self, choice: Int[np.ndarray, " image"], image_weights: ImageWeights | None = None, measure: Measure = "AP"
    ) -> float:
        """Exact average precision of a choice; see `mixture_ap`."""
        return mixture_ap(self.mixture, choice, image_weights, measure)

    def mean_cost(self, choice: Int[np.ndarray, " image"]) -> float:
        """Mean over the images of what their exit costs."""
        return float(self.costs[choice].mean())

    def score(self, choice: Int[np.ndarray, " image"]) -> Score:
        """A choice in figures."""
        matches = self.mixture.choose(choice)
        ap, mean_cost = average_precision(matches), self.mean_cost(choice)
        counts = np.bincount(choice, minlength=len(self.exit_names))
        return Score(
            exit_rates=dict(zip(self.exit_names, (counts / self.images).tolist(), strict=True)),
            ap=ap,
            ap50=average_precision(matches, measure="AP50"),
            mean_cost=mean_cost,
            speedup=self.baseline.cost / mean_cost,
            relative_ap_drop=relative_drop(ap, self.baseline.ap),
        )

    def _full(self, trace: Trace, calibration: Calibrations | None) -> Baseline:
        matches = calibrated_matches(trace, self.exit_names[-1]) if calibration else self.matches[-1]
        return Static(self.exit_names[-1], matches, float(self.costs[-1])).on(trace)


def relative_drop(ap: float, baseline_ap: float) -> float:
    """(baseline - AP) / baseline; not a number where the baseline finds nothing."""
    return (baseline_ap - ap) / baseline_ap if baseline_ap > 0 else math.nan


def cost_array(exit_names: tuple[str, ...], costs: Costs) -> Float[np.ndarray, " exit"]:
    """Costs in the order of the exits.

    Raises:
        UserError: an exit has none, or one that is not above 0.
    """
    if missing := [name for name in exit_names if name not in costs]:
        raise UserError(f"costs: {missing[0]} has none; costs are needed for {', '.join(exit_names)}")
    values = np.array([float(costs[name]) for name in exit_names])
    if not (np.isfinite(values) & (values > 0)).all():
        raise UserError(f"costs: each must be above 0, got {dict(costs)}")
    return values
