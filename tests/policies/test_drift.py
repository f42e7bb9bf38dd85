import math

import numpy as np
import pytest

from cascade_exit.policies.drift import WINDOW, DriftMonitor, _differs
from cascade_exit.policies.policy import Policy

EXITS = ("exit1", "exit2", "full")


def tuned(*rates: float, images: int | None = 500) -> Policy:
    facts = {} if images is None else {"images": images}
    return Policy("m", ("chair",), {}, exit_rates=dict(zip(EXITS, rates, strict=True)), tuned_on=facts, name="best")


def counted(*counts: int) -> dict[str, int]:
    return dict(zip(EXITS, counts, strict=True))


def test_says_what_drifted_and_what_to_do() -> None:
    message = DriftMonitor(tuned(0.5, 0.3, 0.2)).update(counted(20, 60, 120))
    assert message is not None
    assert "policy best" in message
    assert "exit1 10.0% (expected 50.0%)" in message
    assert "full 60.0% (expected 20.0%)" in message
    assert "exit2" not in message
    assert "last 200 images" in message
    assert "\n" not in message


def test_few_images_are_not_judged() -> None:
    monitor = DriftMonitor(tuned(0.9, 0.1, 0.0))
    assert all(monitor.update({"full": 1}) is None for _ in range(WINDOW - 1))
    assert monitor.update({"full": 1}) is not None


def test_is_said_once_and_again_after_a_good_time() -> None:
    monitor = DriftMonitor(tuned(0.5, 0.3, 0.2))
    good, bad = counted(100, 60, 40), counted(10, 60, 130)
    said = [monitor.update(counts) is not None for counts in (good, bad, bad, bad, good, bad, bad)]
    assert said == [False, True, False, False, False, True, False]


def test_an_early_good_time_does_not_hide_a_drift() -> None:
    monitor = DriftMonitor(tuned(0.5, 0.3, 0.2))
    for _ in range(60):
        assert monitor.update(counted(100, 60, 40)) is None
    assert monitor.update(counted(40, 60, 100)) is not None


def test_rarely_cries_wolf_though_the_expected_rates_are_estimates() -> None:
    rng, alarms = np.random.default_rng(0), 0
    true = [0.5, 0.3, 0.2]
    for _ in range(300):
        rates = (rng.multinomial(100, true) / 100).tolist()
        alarms += (
            DriftMonitor(tuned(*rates, images=100)).update(counted(*rng.multinomial(200, true).tolist())) is not None
        )
    assert alarms == 0


@pytest.mark.parametrize("rates", [(0.5, 0.1), (0.3, 0.7), (0.02, 0.3)])
def test_catches_large_drifts(rates: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    (expected, live), missed = rates, 0
    for _ in range(30):
        counts = counted(*rng.multinomial(200, [live, 0.2, 0.8 - live]).tolist())
        missed += DriftMonitor(tuned(expected, 0.2, 0.8 - expected)).update(counts) is None
    assert missed <= 1


def test_an_exit_never_seen_in_tuning_may_be_taken_now_and_then() -> None:
    assert DriftMonitor(tuned(0.6, 0.4, 0.0)).update(counted(120, 79, 1)) is None
    assert DriftMonitor(tuned(0.6, 0.4, 0.0)).update(counted(60, 80, 60)) is not None


def test_an_unknown_exit_is_a_drift() -> None:
    message = DriftMonitor(tuned(0.6, 0.4, 0.0)).update({"exit1": 100, "exit3": 100})
    assert message is not None
    assert "exit3 50.0% (expected 0.0%)" in message


def test_without_expected_rates_never_warns() -> None:
    monitor = DriftMonitor(Policy("m", ("chair",), {}))
    assert all(monitor.update({"full": 1000}) is None for _ in range(3))


def test_without_a_number_of_images_warns_all_the_same() -> None:
    assert DriftMonitor(tuned(0.5, 0.3, 0.2, images=None)).update(counted(0, 0, 200)) is not None


def test_bound_is_that_of_chernoff_when_the_expected_rate_is_certain() -> None:
    # 200 images at 40 %: Chernoff's bound on 120 or more is exp(-200 KL(0.6, 0.4)).
    divergence = 0.6 * math.log(0.6 / 0.4) + 0.4 * math.log(0.4 / 0.6)
    certain = 10**12
    assert _differs(0.6, 200, 0.4, certain, 200 * divergence - 0.01)
    assert not _differs(0.6, 200, 0.4, certain, 200 * divergence + 0.01)
    assert _differs(0.2, 200, 0.4, certain, 5.0)
    assert not _differs(0.4, 200, 0.4, certain, 0.01)


def test_window_is_checked() -> None:
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        DriftMonitor(tuned(0.5, 0.3, 0.2), window=0)
