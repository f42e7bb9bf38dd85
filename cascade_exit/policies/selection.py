"""Which family to ship: each is tuned on all images, judged by cross-fitting, and the best is taken."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.progress import track

from cascade_exit.policies.crossfit import CrossFit, crossfit
from cascade_exit.policies.objectives import Objective, nearest_point, preference
from cascade_exit.policies.operating_points import QUANTILES, OperatingPoint, choose_exits, rule_values
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.pooling import Calibrations, calibrated_matches
from cascade_exit.policies.scoring import Costs, Scorer, Static
from cascade_exit.policies.tuning import TunedFamily, Tuning, tune_family
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

# Thresholds that just keep to a drop of AP on the images they are chosen on break it on others. So limits stricter by
# these are tried, too, and cross-fitting says which is strict enough.
DROP_MARGINS = (0.0, 0.03, 0.06, 0.1)

Calibrate = Callable[[Trace], Calibrations]


@dataclass(frozen=True, eq=False)
class Bench:
    """A trace made ready for families to be tuned on it.

    Attributes:
        tuning: the trace, its costs and a calibration that was fitted to it.
        scorer: of them.
    """

    tuning: Tuning
    scorer: Scorer

    @classmethod
    def of(
        cls,
        trace: Trace,
        costs: Costs,
        calibrate: Calibrate,
        quantiles: int = QUANTILES,
        static: Static | None = None,
        deciding: tuple[str, ...] | None = None,
    ) -> "Bench":
        """Fits the calibration and matches the detections; see `Tuning` for the rest.

        Raises:
            UserError: the trace has no image or no object, a score is no number, or the baseline finds no object.
        """
        _check_scores(trace)
        tuning = Tuning(trace, costs, dict(calibrate(trace)), quantiles, static, deciding)
        scorer = tuning.scorer(trace)
        if not scorer.baseline.ap > 0:
            raise UserError(
                f"trace of {trace.header.role}: {scorer.baseline.name} finds none of the objects in {len(trace)} "
                "images (AP 0), so that no policy can keep anything: train longer, or use more images"
            )
        return cls(tuning, scorer)

    @property
    def static(self) -> Static:
        """What drop and speedup are measured against: a static model, or the last exit alone."""
        trace, baseline = self.tuning.trace, self.scorer.baseline
        return self.tuning.static or Static(baseline.name, calibrated_matches(trace, baseline.name), baseline.cost)

    def choice(self, family: TunedFamily, thresholds: Mapping[str, float]) -> np.ndarray:
        """Exit of every image, as index, at a family's thresholds."""
        values = rule_values(self.tuning.trace, family.rules, self.tuning.calibration)
        return choose_exits(self.scorer.exit_names, values, thresholds)


Prepare = Callable[[Trace], Bench]


def _check_scores(trace: Trace) -> None:
    for name, of_exit in trace.exits.items():
        table = of_exit.detections
        wrong = np.isnan(table.scores) | np.isnan(table.logits).any(axis=1)
        if wrong.any():
            place = int(np.searchsorted(table.offsets, np.flatnonzero(wrong)[0], side="right")) - 1
            raise UserError(
                f"trace of {trace.header.role}: {wrong.sum()} detections of {name} have scores that are no number, "
                f"the first in image {trace.truth[place].image_id}: trace again with a sound model"
            )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A family and what becomes of it.

    Attributes:
        family: tuned on all images.
        aim: the objective, or one with a stricter limit on the drop.
        point: the best within the aim's limits, or the one that is least beyond.
        fair: every image decided by a policy of this family that was tuned without it; None where a part of the
            images is too small to tune on.
    """

    family: TunedFamily
    aim: Objective
    point: OperatingPoint
    fair: CrossFit | None = None


def judge_families(
    names: Collection[str],
    bench: Bench,
    prepare: Prepare,
    objective: Objective,
    groups: Sequence[str] | None = None,
    console: Console | None = None,
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Tunes and cross-fits families: what decides about a fold (rules, thresholds, temperatures) is fitted without it.

    Args:
        names: see `family_names`.
        bench: of all images.
        prepare: makes the bench of a part of them.
        objective: what the thresholds are for.
        groups: see `crossfit`.
        console: shows a progress bar, where given.

    Returns:
        Candidates by family, and why the others are left out.

    Raises:
        UserError: all are left out.
    """
    candidates: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    parts = _Parts(prepare)
    for name in track(list(names), "Trying families", console=console, disable=console is None):
        try:
            family = tune_family(name, bench.tuning, bench.scorer)
        except UserError as error:
            left_out[name] = str(error)
            continue
        aimed = [_aimed(family, bench, parts, aim, groups) for aim in _aims(objective)]
        candidates[name] = best_candidate(aimed, objective)
    if not candidates:
        first, reason = next(iter(left_out.items()))
        more = f" (and {len(left_out) - 1} more families)" if len(left_out) > 1 else ""
        raise UserError(f"family={first} has nothing to decide: {reason}{more}")
    return candidates, left_out


def best_candidate(candidates: Collection[Candidate], objective: Objective) -> Candidate:
    """The one whose cross-fitted figures serve the objective best, the first of equals; unjudged ones come last."""
    judged = [each for each in candidates if each.fair is not None]
    return min(
        judged or candidates,
        key=lambda each: preference(each.fair.score if each.fair else each.point, objective),
    )


class _Parts:
    """Benches of parts of a trace; all families are cross-fitted on the same parts."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._benches: dict[tuple[int, ...], Bench] = {}
        self._families: dict[tuple[str, Bench], TunedFamily] = {}

    def bench(self, part: Trace) -> Bench:
        key = tuple(image.image_id for image in part.truth)
        if key not in self._benches:
            self._benches[key] = self._prepare(part)
        return self._benches[key]

    def family(self, name: str, bench: Bench) -> TunedFamily:
        if (name, bench) not in self._families:
            self._families[name, bench] = tune_family(name, bench.tuning, bench.scorer)
        return self._families[name, bench]


def _aims(objective: Objective) -> list[Objective]:
    drop = objective.max_relative_ap_drop
    if drop is None:
        return [objective]
    return [replace(objective, max_relative_ap_drop=drop - margin) for margin in DROP_MARGINS]


def _aimed(family: TunedFamily, bench: Bench, parts: _Parts, aim: Objective, groups: Sequence[str] | None) -> Candidate:
    point = nearest_point(family.points, aim)
    return Candidate(family, aim, point, _crossfit(family.name, bench, parts, aim, groups))


def _crossfit(name: str, bench: Bench, parts: _Parts, aim: Objective, groups: Sequence[str] | None) -> CrossFit | None:
    def tune(part: Trace) -> Policy:
        of_part = parts.bench(part)
        family = parts.family(name, of_part)
        return family.policy(nearest_point(family.points, aim), of_part.tuning)

    try:
        # Calibrations per fold would cost AP that the shipped policy does not lose; see `crossfit`.
        trace = bench.tuning.trace
        return crossfit(
            trace,
            tune,
            bench.tuning.costs,
            groups=groups,
            baseline=bench.static,
            calibration=bench.tuning.calibration,
            resamples=0,
        )
    except UserError:
        return None
