"""Runner and baseline in turns, on a clock that counts what each of them costs."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cascade_exit.data import ClassMap, CocoSet, ImageRecord, ImageStore
from cascade_exit.policies.drift import DriftMonitor
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runtime import latency, runner, turns
from cascade_exit.runtime.latency import Timed, spread_places, static_runner, time_together
from cascade_exit.runtime.runner import Runner
from tests.model.networks import SIZE_PX
from tests.runtime.cascades import CLASSES, detector, policy

STOPS = {"exit1": ThresholdRule("max_score", -1.0)}


class Pictures(ImageStore):
    """Numbered grey pictures; nothing is read from files."""

    def read(self, record: ImageRecord) -> np.ndarray:
        return np.full((record.height, record.width, 3), record.image_id, np.uint8)


def some_set(count: int) -> CocoSet:
    none = np.zeros(0, np.int64)
    boxes = np.zeros((0, 4), np.float32)
    return CocoSet(
        tuple(
            ImageRecord(i, Path(f"{i}.png"), 40, 30, str(i), boxes, none, none.astype(bool), none.astype(np.float32))
            for i in range(count)
        ),
        ClassMap(CLASSES),
    )


@pytest.fixture
def journal(monkeypatch) -> list[tuple[str, int]]:
    """Who answered which picture; the policy's runner takes 2 ms and one more per picture, a static one 10 ms."""
    seen: list[tuple[str, int]] = []
    clock = SimpleNamespace(now=0.0)
    detect = Runner.detect

    def counted(self, photo, digest=False):
        who = "policy" if self.policy.rules else "static"
        seen.append((who, int(photo[0, 0, 0])))
        clock.now += (2 + photo[0, 0, 0] if who == "policy" else 10) / 1e3
        return detect(self, photo, digest)

    monkeypatch.setattr(Runner, "detect", counted)
    monkeypatch.setattr(latency, "_now", lambda device: clock.now)
    return seen


def timed(count: int = 6, warmup: int = 2, **more) -> Timed:
    one = Runner(detector("plain"), policy(STOPS, **more))
    places = np.arange(count)
    return time_together(one, static_runner(detector("plain")), some_set(count), Pictures(), places, warmup)


def test_times_are_those_of_each_photo(journal):
    found = timed()
    assert found.runner_ms == pytest.approx([2, 3, 4, 5, 6, 7])
    assert found.baseline_ms == pytest.approx([10] * 6)
    assert found.speedup == pytest.approx(10 / 4.5)
    low, high = found.speedup_interval(200)
    assert low < found.speedup < high
    assert low > 10 / 7
    assert high < 10 / 2
    # All photos in one group: there is nothing to resample.
    assert found.speedup_interval(20, ["one"] * 6) == pytest.approx((found.speedup, found.speedup))


def test_both_answer_in_turns_after_the_warm_up(journal, monkeypatch):
    monkeypatch.setattr(turns, "STRETCH", 2)
    timed()
    assert journal[:4] == [("policy", 0), ("static", 0), ("policy", 1), ("static", 1)]
    order = [who for who, _ in journal[4:]]
    of_policy, of_static = ["policy"] * 2, ["static"] * 2
    assert order == of_policy + of_static + of_static + of_policy + of_policy + of_static
    assert [picture for _, picture in journal[4:]] == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]


def test_static_runner_computes_no_early_exit():
    one = static_runner(detector("plain"))
    calls = []
    handles = [part.register_forward_hook(lambda *_: calls.append(1)) for part in one.detector.network.exits.values()]
    stopped = one.detect(np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8))
    for handle in handles:
        handle.remove()
    assert stopped.exit_name == "full"
    assert not calls


def test_drift_is_told(journal, monkeypatch):
    rates = {"exit1": 0.0, "exit2": 0.5, "full": 0.5}
    monkeypatch.setattr(runner, "DriftMonitor", partial(DriftMonitor, window=8))
    found = timed(count=10, warmup=0, exit_rates=rates, tuned_on={"images": 2000})
    assert found.drift is not None
    assert "exit1 100.0%" in found.drift
    as_expected = {"exit1": 1.0, "exit2": 0.0, "full": 0.0}
    assert timed(count=10, warmup=0, exit_rates=as_expected, tuned_on={"images": 2000}).drift is None


def test_places_are_spread_over_the_set():
    assert spread_places(10, 20).tolist() == list(range(10))
    assert spread_places(101, 3).tolist() == [0, 50, 100]
    assert spread_places(5, 1).tolist() == [0]
