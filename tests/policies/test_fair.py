"""Families under cross-fitting, against the same done by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cascade_exit.evaluation import DetectionArrays, Matches, match_detections
from cascade_exit.model import FULL
from cascade_exit.policies.crossfit import crossfit
from cascade_exit.policies.fair import Measuring, crossfit_families, fixed_thresholds
from cascade_exit.policies.objectives import Objective
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.scoring import Scorer, Static
from cascade_exit.policies.tuning import Tuning, tune_policy
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

from .synthetic import MACS, make_trace

TWO = {"exit_names": ("exit1", "full"), "sharpness": (1.0, 1.0)}
FAMILIES = ("max_score", "top_mean")
COSTS = {name: float(MACS[name]) for name in TWO["exit_names"]}


def measuring(trace: Trace, resamples: int = 0) -> Measuring:
    static = Static(FULL, calibrated_matches(trace, trace.header.exit_names[-1]), MACS[FULL])
    costs = {name: MACS[name] for name in trace.header.exit_names}
    groups = tuple(str(image.image_id // 6) for image in trace.truth)
    return Measuring(trace, costs, static, groups, resamples)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace(150, hard=0.3, **TWO)


@pytest.fixture(scope="module")
def fitted(trace: Trace):
    return crossfit_families(measuring(trace, 20), FAMILIES, drops=(0.03, 0.2))


def test_figures_are_those_of_policies_tuned_without_the_image(trace: Trace, fitted) -> None:
    limits = Objective("max_speedup", max_relative_ap_drop=0.2)

    def tune(part: Trace):
        return tune_policy("max_score", Tuning(part, COSTS, fit_calibration(part)), limits)

    settings = {"groups": measuring(trace).groups, "calibration": fit_calibration(trace), "resamples": 0}
    by_hand = crossfit(trace, tune, COSTS, **settings).score
    figures = fitted.figures["max_score"]["0.2"]
    assert figures["AP"] == by_hand.ap
    assert figures["relative_ap_drop"] == pytest.approx(by_hand.relative_ap_drop)
    assert figures["speedup_macs"] == pytest.approx(by_hand.speedup)
    assert figures["exit_rates"] == by_hand.exit_rates
    assert figures["speedup_macs"] > 1.05
    low, high = figures["intervals"]["AP"]
    assert low < figures["AP"] < high


def test_limits_are_against_the_baseline(trace: Trace, fitted) -> None:
    settings = measuring(trace)
    weak = replace(settings.static, name="weak", matches=calibrated_matches(trace, "exit1"))
    figures = crossfit_families(replace(settings, static=weak), ["max_score"], drops=(0.03,)).figures["max_score"]

    def tune(part: Trace):
        tuning = Tuning(part, COSTS, fit_calibration(part), static=weak)
        return tune_policy("max_score", tuning, Objective("max_speedup", max_relative_ap_drop=0.03))

    by_hand = crossfit(trace, tune, COSTS, groups=settings.groups, calibration=fit_calibration(trace), resamples=0)
    assert figures["0.03"]["exit_rates"] == by_hand.score.exit_rates
    assert figures["0.03"]["exit_rates"]["exit1"] > fitted.figures["max_score"]["0.03"]["exit_rates"]["exit1"]


def test_more_drop_buys_more_speed(fitted) -> None:
    assert tuple(fitted.figures) == FAMILIES
    for by_drop in fitted.figures.values():
        assert list(by_drop) == ["0.03", "0.2"]
        assert by_drop["0.03"]["speedup_macs"] <= by_drop["0.2"]["speedup_macs"]


def test_best_is_the_fastest_within_its_limit(fitted) -> None:
    rivals = 0
    for limit in ("0.03", "0.2"):
        at_limit = {name: by_drop[limit] for name, by_drop in fitted.figures.items()}
        within = {name for name, found in at_limit.items() if found["relative_ap_drop"] <= float(limit)}
        rivals = max(rivals, len(within))
        assert fitted.best[limit] == max(within, key=lambda name: at_limit[name]["speedup_macs"])
    assert rivals > 1


def test_best_is_the_smallest_drop_where_all_are_beyond(trace: Trace) -> None:
    # Against a baseline that is far better than full, nothing stays within 1 %.
    settings = measuring(trace)
    best = replace(settings.static, matches=ideal(trace))
    found = crossfit_families(replace(settings, static=best), FAMILIES, drops=(0.01,))
    drops = {name: by_drop["0.01"]["relative_ap_drop"] for name, by_drop in found.figures.items()}
    assert min(drops.values()) > 0.01
    assert found.best["0.01"] == min(drops, key=drops.__getitem__)


def ideal(trace: Trace) -> Matches:
    found = {i.image_id: DetectionArrays(i.boxes, np.ones(len(i.labels)), i.labels) for i in trace.truth}
    return match_detections(trace.truth, found, trace.header.classes)


def test_who_finds_no_threshold_within_the_limit_never_stops(trace: Trace) -> None:
    found = crossfit_families(measuring(trace), ["plan"], drops=(-0.5,))
    figures = found.figures["plan"]["-0.5"]
    assert figures["exit_rates"] == {"exit1": 0, "full": 1}
    assert figures["speedup_macs"] == 1
    assert figures["relative_ap_drop"] == pytest.approx(0, abs=0.005)
    assert "intervals" not in figures


def test_families_that_cannot_be_tuned_are_left_out_with_a_reason() -> None:
    two = make_trace(40, **TWO)
    found = crossfit_families(measuring(two), ["agreement", "max_score"], drops=(0.2,))
    assert list(found.figures) == ["max_score"]
    assert "no exit that it could decide at" in found.left_out["agreement"]
    with pytest.raises(UserError, match="no family can be tuned on this set"):
        crossfit_families(measuring(two), ["agreement"], drops=(0.2,))


def spread_confidence(trace: Trace) -> Trace:
    """The same trace with a mean confidence of 0.5 to 1."""
    generator = torch.Generator().manual_seed(1)
    exits = {
        name: replace(
            one, digest=one.digest.replaced(mean_confidence=0.5 + torch.rand(len(trace), generator=generator) / 2)
        )
        for name, one in trace.exits.items()
    }
    return replace(trace, exits=exits)


def test_fixed_thresholds_are_the_plan_s(trace: Trace) -> None:
    three = spread_confidence(make_trace(90))
    (title, figures), *more = fixed_thresholds(measuring(three)).items()
    assert title == "exit1>=0.60 exit2>=0.75"
    assert not more
    confidence = [three.exits[name].digest.mean_confidence.numpy() for name in ("exit1", "exit2")]
    choice = np.where(confidence[0] >= 0.60, 0, np.where(confidence[1] >= 0.75, 1, 2))
    assert set(choice) == {0, 1, 2}
    assert figures["AP"] == Scorer(three, MACS).ap(choice)
    assert list(fixed_thresholds(measuring(trace))) == ["exit1>=0.85"]
    other = make_trace(30, exit_names=("exit2", "full"), sharpness=(1.0, 1.0))
    assert fixed_thresholds(measuring(other)) == {}
