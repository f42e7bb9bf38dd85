"""Figures of a way of stopping, against closed forms and functions that were written apart."""

import numpy as np
import pytest

from cascade_exit.evaluation import (
    average_precision,
    bootstrap_interval,
    image_kinds,
    relative_drop_interval,
)
from cascade_exit.model import FULL
from cascade_exit.policies.pooling import calibrated_matches
from cascade_exit.policies.reporting import (
    Answers,
    DropOn,
    answer_figures,
    answer_intervals,
    bounds_figures,
    exit_intervals,
    figures_by_kind,
    static_figures,
)
from cascade_exit.policies.scoring import Scorer, Static
from cascade_exit.trace import Trace
from tests.evaluation.reference import reference_metrics

from .synthetic import MACS, make_trace

EXITS = tuple(MACS)


def answers(trace: Trace, choice: np.ndarray) -> Answers:
    scorer = Scorer(trace, MACS)
    return Answers(scorer.mixture.choose(choice), choice, scorer.costs)


def full(trace: Trace) -> Static:
    return Static(FULL, calibrated_matches(trace, FULL), MACS[FULL])


def mixed(trace: Trace) -> np.ndarray:
    return np.arange(len(trace)) % 3


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace(60, classes=2)


def test_who_never_stops_is_the_full_exit(trace: Trace) -> None:
    static = full(trace)
    never = answers(trace, np.full(60, 2))
    figures = answer_figures(never, EXITS, static)
    assert figures["AP"] == static_figures(static)["AP"] == average_precision(static.matches)
    assert (figures["relative_ap_drop"], figures["speedup_macs"], figures["macs_reduction"]) == (0, 1, 0)
    assert figures["exit_rates"] == {"exit1": 0, "exit2": 0, "full": 1}
    intervals = answer_intervals(never, static, 20)
    assert intervals["relative_ap_drop"] == (0, 0)
    assert intervals["speedup_macs"] == (1, 1)


def test_who_always_stops_is_exit1(trace: Trace) -> None:
    always = answers(trace, np.zeros(60, int))
    figures = answer_figures(always, EXITS, full(trace))
    assert figures["AP"] == average_precision(calibrated_matches(trace, "exit1"))
    assert figures["AP50"] == average_precision(calibrated_matches(trace, "exit1"), measure="AP50")
    assert figures["speedup_macs"] == pytest.approx(600 / 180)
    assert figures["macs_reduction"] == pytest.approx(1 - 180 / 600)
    assert answer_intervals(always, full(trace), 20)["speedup_macs"] == pytest.approx((600 / 180, 600 / 180))


def test_figures_of_a_mixture(trace: Trace) -> None:
    choice = mixed(trace)
    figures = answer_figures(answers(trace, choice), EXITS, full(trace))
    found = {
        image.image_id: trace.exits[EXITS[index]].detections.of_image(place)
        for place, (image, index) in enumerate(zip(trace.truth, choice, strict=True))
    }
    reference = reference_metrics(trace.truth, found, trace.header.classes)
    assert figures["AP"] == pytest.approx(reference["AP"], abs=1e-9)
    assert figures["AP50"] == pytest.approx(reference["AP50"], abs=1e-9)
    assert figures["macs"] == pytest.approx((180 + 400 + 600) / 3 * 1e6)
    of_full = static_figures(full(trace))["AP"]
    assert figures["relative_ap_drop"] == pytest.approx((of_full - figures["AP"]) / of_full)
    assert figures["exit_rates"] == {"exit1": 1 / 3, "exit2": 1 / 3, "full": 1 / 3}


def test_intervals_are_paired_and_hold_the_figures(trace: Trace) -> None:
    of_mixture, static = answers(trace, mixed(trace)), full(trace)
    groups = [str(place // 2) for place in range(60)]
    intervals = answer_intervals(of_mixture, static, 80, groups, seed=5)
    settings = {"resamples": 80, "seed": 5, "groups": groups}
    assert intervals["AP"] == pytest.approx(bootstrap_interval(of_mixture.matches, **settings), abs=1e-12)
    assert intervals["AP50"] == pytest.approx(bootstrap_interval(of_mixture.matches, "AP50", **settings), abs=1e-12)
    of_exits = exit_intervals({"full": static.matches}, 80, groups, seed=5)
    assert of_exits["full.AP"] == pytest.approx(bootstrap_interval(static.matches, **settings), abs=1e-12)
    assert of_exits.keys() == {"full.AP", "full.AP50"}
    drop = relative_drop_interval(of_mixture.matches, static.matches, **settings)
    assert intervals["relative_ap_drop"] == pytest.approx(drop)
    figures = answer_figures(of_mixture, EXITS, static)
    for name, (low, high) in intervals.items():
        assert low < figures[name] < high
    assert intervals.keys() == {"AP", "AP50", "relative_ap_drop", "speedup_macs"}


def test_interval_of_the_speedup_is_that_of_the_mean_cost() -> None:
    trace = make_trace(200, empty=0.0)
    choice = np.where(np.arange(200) % 4 == 0, 2, 0)
    low, high = answer_intervals(answers(trace, choice), full(trace), 300)["speedup_macs"]
    # The share of images at full is binomial, 1/4 of 200.
    spread = 1.96 * np.sqrt(0.25 * 0.75 / 200)
    mean_cost = [180 + 420 * share for share in (0.25 + spread, 0.25 - spread)]
    assert (low, high) == pytest.approx((600 / mean_cost[0], 600 / mean_cost[1]), abs=0.06)


def test_bounds_of_a_random_choice(trace: Trace) -> None:
    scorer = Scorer(trace, MACS)
    figures, gap = bounds_figures(scorer, mixed(trace))
    assert figures["random_AP"] < figures["oracle_AP"]
    assert gap[0] > 0
    assert abs(figures["efficacy"]) < 0.5
    # Where all leave at one exit, chance has no choice, and there is nothing to be efficient about.
    figures, _ = bounds_figures(scorer, np.full(60, 2))
    assert figures["random_AP"] == pytest.approx(scorer.ap(np.full(60, 2)))


def test_efficacy_is_absent_where_the_gap_may_be_nothing() -> None:
    same = make_trace(40)
    alike = Trace(same.header, same.truth, same.difficulties, dict.fromkeys(EXITS, same.exits[FULL]))
    figures, gap = bounds_figures(Scorer(alike, MACS), mixed(alike))
    assert gap == (0, 0)
    assert figures.keys() == {"random_AP", "oracle_AP"}


def test_kinds_are_measured_on_their_images_alone(trace: Trace) -> None:
    choice = mixed(trace)
    kinds = image_kinds(trace.truth, trace.difficulties)
    by_name = {"full": calibrated_matches(trace, FULL), "policy": answers(trace, choice).matches}
    drop = DropOn(by_name["policy"], by_name["full"], 30, [str(place) for place in range(60)])
    figures = figures_by_kind(by_name, kinds, choice, EXITS, drop)
    assert figures["objects"]["0"].keys() == {"images", "full", "policy", "exit_rates"}
    assert figures["objects"]["0"]["full"] == {}
    for kind, mask in kinds["difficulty"].items():
        of_kind = figures["difficulty"][kind]
        part = trace.subset(np.flatnonzero(mask))
        assert of_kind["images"] == len(part)
        assert sum(of_kind["exit_rates"].values()) == pytest.approx(1)
        assert of_kind["exit_rates"]["exit2"] == (choice[mask] == 1).mean()
        if kind == "empty":
            continue
        assert of_kind["full"]["AP"] == average_precision(calibrated_matches(part, FULL))
        assert of_kind["policy"]["AP50"] == Scorer(part, MACS).ap(choice[mask], measure="AP50")
        of_full, of_policy = (of_kind[name]["AP"] for name in ("full", "policy"))
        assert of_kind["relative_ap_drop"] == pytest.approx(1 - of_policy / of_full)
        low, high = of_kind["intervals"]["relative_ap_drop"]
        assert low < of_kind["relative_ap_drop"] < high
