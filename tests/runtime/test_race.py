"""Contenders in turns, on a clock that counts what each of them costs."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runtime import race as race_module
from cascade_exit.runtime import turns
from cascade_exit.runtime.latency import static_runner
from cascade_exit.runtime.race import Race, race
from cascade_exit.runtime.runner import Runner
from tests.runtime.cascades import detector, policy
from tests.runtime.test_latency import Pictures, some_set

STOPS = {"exit1": ThresholdRule("max_score", -1.0)}
DECODE_MS, RESIZE_MS, POSTPROCESSING_MS, STATIC_MS = 3.0, 1.0, 0.5, 10.0


@pytest.fixture
def journal(monkeypatch) -> list[tuple[str, int]]:
    """Who answered how many pictures; the policy's network takes 2 ms a batch, a static one 10 ms."""
    seen: list[tuple[str, int]] = []
    clock = SimpleNamespace(now_ms=0.0)
    detect_batch, resize = Runner.detect_batch, race_module.resize_image

    def counted(self, images, original_sizes=None, digest=False):
        who = "policy" if self.policy.rules else "static"
        seen.append((who, len(images)))
        found = detect_batch(self, images, original_sizes, digest)
        clock.now_ms += POSTPROCESSING_MS + (2 if who == "policy" else STATIC_MS)
        self.postprocessing_s = before[id(self)] = before.get(id(self), 0.0) + POSTPROCESSING_MS / 1e3
        return found

    def resized(*words):
        clock.now_ms += RESIZE_MS
        return resize(*words)

    def read(path):
        clock.now_ms += DECODE_MS

    before: dict[int, float] = {}
    monkeypatch.setattr(Runner, "detect_batch", counted)
    monkeypatch.setattr(race_module, "resize_image", resized)
    monkeypatch.setattr(race_module, "read_image", read)
    monkeypatch.setattr(race_module.time, "perf_counter", lambda: clock.now_ms / 1e3)
    return seen


def raced(count: int = 6, batch_size: int = 1, repeats: int = 2) -> Race:
    contenders = {"policy": Runner(detector("plain"), policy(STOPS)), "static": static_runner(detector("plain"))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return race(contenders, some_set(count), Pictures(), np.arange(count), batch_size, repeats, threads=1)


def test_every_part_is_told_apart(journal):
    before = torch.get_num_threads()
    found = raced()
    assert torch.get_num_threads() == before
    laps = found.laps["policy"]
    assert laps.resize_ms == pytest.approx(np.full((2, 6), RESIZE_MS))
    assert laps.network_ms == pytest.approx(np.full((2, 6), 2.0))
    assert laps.postprocessing_ms == pytest.approx(np.full((2, 6), POSTPROCESSING_MS))
    assert found.laps["static"].network_ms == pytest.approx(np.full((2, 6), STATIC_MS))
    assert found.decode_ms == pytest.approx(np.full((2, 6), DECODE_MS))
    assert found.speedup("policy", "static") == pytest.approx(11.5 / 3.5)
    assert found.speedup("policy", "static", end_to_end=True) == pytest.approx(14.5 / 6.5)
    # Without any spread there is nothing to be unsure of.
    assert found.speedup_interval("policy", "static", 20) == pytest.approx((11.5 / 3.5, 11.5 / 3.5))
    assert [one.exit_name for one in found.stopped["policy"]] == ["exit1"] * 6
    assert [one.exit_name for one in found.stopped["static"]] == ["full"] * 6


def test_who_comes_first_changes_with_every_stretch_and_repeat(journal, monkeypatch):
    monkeypatch.setattr(turns, "STRETCH", 2)
    raced(count=3, repeats=1)
    untimed, timed = (
        ["static"] * 2 + ["policy"] * 2 + ["policy", "static"],
        ["policy"] * 2 + ["static"] * 3 + ["policy"],
    )
    assert [who for who, _ in journal] == untimed + timed
    assert {size for _, size in journal} == {1}


def test_a_stretch_is_whole_batches():
    def order(photos: int, batch_size: int) -> list[tuple[str, int]]:
        return [(who, rows.start) for who, rows in turns.turns("ab", photos, batch_size)]

    one, other, rest = range(24), range(24, 48), range(48, 60)
    alone = [("a", one), ("b", one), ("b", other), ("a", other), ("a", rest), ("b", rest)]
    assert order(60, 1) == [(who, start) for who, stretch in alone for start in stretch]
    assert order(64, 32) == [("a", 0), ("b", 0), ("b", 32), ("a", 32)]
    assert [rows for _, rows in turns.turns("a", 48, 16)] == [slice(0, 16), slice(16, 32), slice(32, 48)]


def test_a_batch_shares_its_time(journal):
    found = raced(count=5, batch_size=2)
    assert found.places.tolist() == [0, 1, 2, 3]
    assert found.laps["policy"].network_ms == pytest.approx(np.full((2, 4), 1.0))
    assert found.laps["policy"].resize_ms == pytest.approx(np.full((2, 4), RESIZE_MS))
    assert found.decode_ms == pytest.approx(np.full((2, 4), DECODE_MS))
    with pytest.raises(ValueError, match="fill a batch of 8"):
        raced(count=5, batch_size=8)


def test_intervals_come_from_photos_and_from_repeats():
    places, none = np.arange(4), np.zeros((2, 4))
    by_photo = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)
    by_repeat = np.array([[1.0] * 4, [3.0] * 4])

    def of(times: np.ndarray, batch_size: int = 1) -> tuple[float, float]:
        laps = {
            "one": race_module.Laps(none, times, none),
            "other": race_module.Laps(none, np.full((2, 4), 12.0), none),
        }
        return Race(places, none, laps, {}, batch_size).speedup_interval("one", "other", 400)

    assert of(by_photo) == pytest.approx((12 / 3.5, 12 / 1.5), rel=0.1)
    assert of(by_repeat) == (4.0, 12.0)
    # Photos of a batch are one sample: all in one batch, only the repeats say anything.
    assert of(by_photo, batch_size=4) == pytest.approx((12 / 2.5, 12 / 2.5))
