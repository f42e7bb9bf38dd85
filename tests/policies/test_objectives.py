import numpy as np
import pytest

from cascade_exit.policies.objectives import Objective, pick_point
from cascade_exit.policies.operating_points import OperatingPoint
from cascade_exit.policies.scoring import Score
from cascade_exit.runs import UserError


def points(seed: int = 0, count: int = 60) -> list[OperatingPoint]:
    rng = np.random.default_rng(seed)
    costs, aps = rng.integers(2, 11, count), rng.integers(10, 31, count) / 50
    return [
        OperatingPoint.at(
            {"exit1": float(i)}, Score({}, float(ap), float(ap), float(cost), 10 / cost, (0.6 - ap) / 0.6)
        )
        for i, (cost, ap) in enumerate(zip(costs, aps, strict=True))
    ]


def test_max_ap_at_a_speedup() -> None:
    every = points()
    best = pick_point(every, Objective("max_ap", min_speedup=2.0))
    allowed = [point for point in every if point.speedup >= 2]
    assert best.ap == max(point.ap for point in allowed)
    assert best.mean_cost == min(point.mean_cost for point in allowed if point.ap == best.ap)


def test_max_speedup_at_a_drop() -> None:
    every = points(1)
    best = pick_point(every, Objective("max_speedup", max_relative_ap_drop=0.1))
    allowed = [point for point in every if point.relative_ap_drop <= 0.1]
    assert best.speedup == max(point.speedup for point in allowed)
    assert best.ap == max(point.ap for point in allowed if point.speedup == best.speedup)


def test_budget() -> None:
    every = points(2)
    best = pick_point(every, Objective(budget_ms=5.0))
    assert best.ap == max(point.ap for point in every if point.mean_cost <= 5)
    assert best.mean_cost <= 5


def test_a_limit_may_be_met_exactly() -> None:
    only = OperatingPoint.at({}, Score({}, 0.5, 0.5, 5.0, 2.0, 0.03))
    assert pick_point([only], Objective("max_speedup", 2.0, 0.03, 5.0)) is only


def test_nothing_within_names_the_nearest() -> None:
    slow = OperatingPoint.at({}, Score({}, 0.5, 0.5, 8.0, 1.25, 0.01))
    fast = OperatingPoint.at({}, Score({}, 0.3, 0.3, 5.0, 2.0, 0.4))
    with pytest.raises(UserError, match=r"min_speedup=2.5: none of 2 .* nearest has speedup 2\.00, relative AP drop"):
        pick_point([slow, fast], Objective(min_speedup=2.5))
    with pytest.raises(UserError, match=r"max_relative_ap_drop=0: .* nearest has speedup 1\.25.* smallest drop 0\.010"):
        pick_point([slow, fast], Objective("max_speedup", max_relative_ap_drop=0.0))
    with pytest.raises(UserError, match=r"budget_ms=4: .* mean cost 5;"):
        pick_point([slow, fast], Objective(budget_ms=4.0))
    with pytest.raises(UserError, match="there are none"):
        pick_point([], Objective())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_speedup": 0.0}, "min_speedup must be above 0, got 0.0"),
        ({"budget_ms": -1.0}, "budget_ms must be above 0"),
        ({"max_relative_ap_drop": 1.5}, "max_relative_ap_drop must be below 1, got 1.5"),
        ({"goal": "max_speedup"}, "max_relative_ap_drop must be given"),
    ],
)
def test_wrong_limits_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective(**arguments)
