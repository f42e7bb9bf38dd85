import itertools

import numpy as np
import pytest

from cascade_exit.policies.references import (
    Curve,
    Oracle,
    greedy_oracle,
    random_ap,
    random_choices,
    random_curve,
    routing_bounds,
)
from cascade_exit.policies.scoring import Scorer

from .synthetic import MACS, make_trace


def test_random_keeps_the_exit_rates() -> None:
    drawn = random_choices([3, 0, 5], draws=40, seed=2)
    assert drawn.shape == (40, 8)
    assert (np.apply_along_axis(np.bincount, 1, drawn) == [3, 0, 5]).all()
    assert len({row.tobytes() for row in drawn}) > 20
    assert np.array_equal(drawn, random_choices([3, 0, 5], draws=40, seed=2))


def test_random_ap_is_the_mean_over_all_choices_of_these_rates() -> None:
    trace = make_trace(6, seed=1, empty=0.0)
    scorer = Scorer(trace, MACS)
    every = [np.array(c) for c in set(itertools.permutations([0, 0, 0, 2, 2, 2]))]
    exact = [scorer.ap(choice) for choice in every]
    found = random_ap(scorer, np.array([2, 0, 2, 0, 2, 0]), draws=600, seed=3)
    assert found == pytest.approx(np.mean(exact), abs=4 * np.std(exact) / np.sqrt(600))
    constant = np.full(6, 1)
    assert random_ap(scorer, constant, draws=3) == scorer.ap(constant)


def test_random_curve_goes_along_the_hull() -> None:
    scorer = Scorer(make_trace(60), MACS)
    curve = random_curve(scorer, points=4, draws=10)
    statics = [scorer.ap(np.full(60, index)) for index in range(3)]
    assert curve.mean_costs[0] == MACS["exit1"]
    assert curve.aps[0] == pytest.approx(statics[0])
    assert curve.aps[-1] == pytest.approx(max(statics))
    assert (np.diff(curve.mean_costs) > 0).all()
    # An exit that costs as much as full is off the hull: nothing is mixed with it.
    dear = random_curve(Scorer(make_trace(60), {**MACS, "exit2": 599e6}), points=3, draws=5)
    assert len(dear.aps) == 3


@pytest.mark.parametrize("seed", range(4))
def test_oracle_by_brute_force(seed: int) -> None:
    trace = make_trace(6, seed=seed, empty=0.15)
    scorer = Scorer(trace, MACS)
    oracle = greedy_oracle(scorer, steps=1000)
    every = [np.array(choice) for choice in itertools.product(range(3), repeat=6)]
    costs = np.array([scorer.mean_cost(choice) for choice in every])
    aps = np.array([scorer.ap(choice) for choice in every])
    full_range = aps.max() - aps[0]
    # Over all budgets, greedy reaches nearly all of what the best of all choices gains.
    shares = []
    for cost in np.linspace(costs.min(), costs.max(), 12)[1:]:
        best = aps[costs <= cost].max()
        greedy = scorer.ap(oracle.choice_at(cost))
        assert greedy <= best + 1e-12
        shares.append((greedy - aps[0] + 1e-9) / (best - aps[0] + 1e-9) if full_range > 0 else 1.0)
    assert np.mean(shares) > 0.85
    for choice, cost, ap in zip(oracle.choices, oracle.mean_costs, oracle.aps, strict=True):
        assert cost == scorer.mean_cost(choice)
        assert ap == scorer.ap(choice)


def test_oracle_beats_every_exit_and_every_draw_at_their_cost() -> None:
    scorer = Scorer(make_trace(80, classes=2, seed=5), MACS)
    oracle = greedy_oracle(scorer)
    curve = oracle.curve
    assert (np.diff(oracle.aps) > 0).all()
    # Some images go to the middle exit first and deeper later.
    assert (np.diff(oracle.choices, axis=0) != 0).sum(axis=0).max() == 2
    assert (np.diff(curve.aps) >= 0).all()
    assert (np.diff(curve.mean_costs) >= 0).all()
    for index in range(3):
        assert scorer.ap(oracle.choice_at(float(scorer.costs[index]))) >= scorer.ap(np.full(80, index))
    for counts in ((40, 20, 20), (10, 60, 10), (50, 0, 30)):
        for drawn in random_choices(counts, draws=30):
            assert curve.ap_at(scorer.mean_cost(drawn)) > scorer.ap(drawn)


def test_bounds_place_policies() -> None:
    trace = make_trace(80, seed=6)
    scorer = Scorer(trace, MACS)
    oracle = greedy_oracle(scorer)
    middle = oracle.choices[len(oracle.choices) // 2]
    ideal = routing_bounds(scorer, middle, oracle, draws=30, resamples=40)
    assert ideal.efficacy == pytest.approx(1.0, abs=0.02)
    assert ideal.gap_interval[0] > 0
    counts = np.bincount(middle, minlength=3)
    by_chance = [
        routing_bounds(scorer, drawn, oracle, draws=60, resamples=5, seed=1).efficacy
        for drawn in random_choices(counts, 12, seed=9)
    ]
    assert np.mean(by_chance) == pytest.approx(0.0, abs=0.15)


def test_no_efficacy_where_there_is_nothing_to_choose() -> None:
    scorer = Scorer(make_trace(40), MACS)
    everyone = np.zeros(40, int)
    bounds = routing_bounds(scorer, everyone, greedy_oracle(scorer), draws=5, resamples=20)
    assert bounds.efficacy is None


def test_curve_between_points() -> None:
    curve = Curve(np.array([1.0, 3.0]), np.array([0.2, 0.4]))
    assert [curve.ap_at(cost) for cost in (0.0, 2.0, 9.0)] == pytest.approx([0.2, 0.3, 0.4])
    falling = Oracle(np.zeros((3, 1), int), np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.5, 0.4]))
    assert falling.curve.aps.tolist() == [0.2, 0.5, 0.5]
