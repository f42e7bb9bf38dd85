"""Tuning for a machine: exits whose answers cost more than they save are passed by."""

from functools import partial

from rich.console import Console

from cascade_exit.apps.tuning_outcome import CostTable, best_outcome, tune_by_objective
from cascade_exit.model import FULL
from cascade_exit.policies import Objective
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.scoring import Static
from cascade_exit.policies.selection import Bench
from tests.policies.synthetic import make_trace

BUDGET = Objective("max_ap", budget_ms=12.0)
IMAGES = 80
EARLY = ("exit1", "exit2")


def chosen(answer_ms: dict[str, float], objective: Objective = BUDGET) -> tuple[tuple[str, ...], set[str], float]:
    """Exits passed by, those with a rule, and the speedup, where each stage takes 5 ms and exits what is given."""
    trace, groups, outcomes = make_trace(IMAGES, seed=3), [str(place) for place in range(IMAGES)], []
    for deciding in (EARLY, ("exit1",), ("exit2",)):
        costs, on_the_way_ms = {}, 0.0
        for name in trace.header.exit_names:
            on_the_way_ms += 5.0
            costs[name] = on_the_way_ms + answer_ms[name]
            on_the_way_ms += answer_ms[name] if name in deciding else 0.0
        table = CostTable("ms", costs, full=15.0 + answer_ms["full"], deciding=deciding)
        static = Static(FULL, calibrated_matches(trace, FULL), table.full)
        prepare = partial(
            Bench.of, costs=costs, calibrate=fit_calibration, quantiles=4, static=static, deciding=deciding
        )
        outcomes.append(tune_by_objective(["certainty"], trace, table, prepare, objective, groups, Console(quiet=True)))
    best = best_outcome(outcomes, objective)
    return best.costs.passed_by, set(best.policy.rules), best.point.speedup


def test_an_exit_that_does_not_pay_is_passed_by():
    passed_by, rules, speedup = chosen({"exit1": 9.0, "exit2": 0.1, "full": 1.0}, Objective("max_ap", budget_ms=14.0))
    assert passed_by == ("exit1",)
    assert rules == {"exit2"}
    assert speedup > 1
    passed_by, rules, _ = chosen({"exit1": 0.1, "exit2": 9.0, "full": 1.0})
    assert "exit1" in rules
    assert "exit2" not in rules
