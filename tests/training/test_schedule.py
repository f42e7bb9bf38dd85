import math

import pytest

from cascade_exit.training import PeriodConfig, Schedule, ScheduleConfig

EXITS = ("exit1", "exit2", "full")
STAGED = ScheduleConfig(
    static=PeriodConfig(0.5), exits=PeriodConfig(0.25), joint=PeriodConfig(0.25, lr_scale=0.3), warmup_epochs=0.5
)


def test_periods_cover_all_epochs_once_and_in_order():
    schedule = Schedule(STAGED, 20, EXITS)
    names = [schedule.period_at(epoch).name for epoch in range(20)]
    assert names == ["static"] * 10 + ["exits"] * 5 + ["joint"] * 5


@pytest.mark.parametrize("epochs", [3, 4, 5, 7])
def test_every_period_with_a_share_gets_an_epoch(epochs):
    schedule = Schedule(STAGED, epochs, EXITS)
    assert [period.name for period in schedule.periods] == ["static", "exits", "joint"]
    assert all(period.stop > period.start for period in schedule.periods)
    assert schedule.periods[-1].stop == epochs


def test_who_runs_and_who_learns():
    schedule = Schedule(STAGED, 20, EXITS)
    static, exits, joint = schedule.periods
    assert schedule.runs(static) == schedule.learns(static) == ("full",)
    assert schedule.runs(exits) == EXITS
    assert schedule.learns(exits) == ("exit1", "exit2")
    assert schedule.runs(joint) == schedule.learns(joint) == EXITS


def test_a_last_exit_that_neither_learns_nor_teaches_is_not_run():
    schedule = Schedule(STAGED, 20, EXITS, full_teaches=False)
    static, exits, joint = schedule.periods
    assert schedule.runs(static) == ("full",)
    assert schedule.runs(exits) == schedule.learns(exits) == ("exit1", "exit2")
    assert schedule.runs(joint) == EXITS


def test_learning_rate_warms_up_and_decays_in_every_period():
    schedule = Schedule(STAGED, 20, EXITS)
    steps = 100
    # Static: 10 epochs, warm-up of 50 steps, then half a cosine down to final_lr_share.
    assert schedule.lr_factor(0, steps) == pytest.approx(1 / 51)
    assert schedule.lr_factor(50, steps) == pytest.approx(1.0)
    middle = 50 + (1000 - 50) // 2
    low = STAGED.final_lr_share
    assert schedule.lr_factor(middle, steps) == pytest.approx(low + (1 - low) / 2, abs=1e-3)
    assert schedule.lr_factor(999, steps) == pytest.approx(low, abs=1e-4)
    # Joint begins anew, at its own scale.
    assert schedule.lr_factor(1550, steps) == pytest.approx(0.3)
    factors = [schedule.lr_factor(step, steps) for step in range(2000)]
    assert all(0 < factor <= 1 and math.isfinite(factor) for factor in factors)


def test_exits_need_early_exits():
    with pytest.raises(ValueError, match=r"schedule\.exits\.share must be 0"):
        Schedule(STAGED, 20, ("full",))


def test_too_few_epochs():
    with pytest.raises(ValueError, match=r"trainer\.max_epochs must be at least 3"):
        Schedule(STAGED, 2, EXITS)


def test_shares_must_add_up():
    with pytest.raises(ValueError, match="add up to 1, got 0.9"):
        ScheduleConfig(static=PeriodConfig(0.5), joint=PeriodConfig(0.4))
