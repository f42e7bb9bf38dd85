"""Times of the stages: put together rightly, and seen where they are spent."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from cascade_exit.policies import Policy
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import UserError, this_machine
from cascade_exit.runtime import (
    Detector,
    ExitTiming,
    Runner,
    StageCosts,
    Timing,
    TimingConfig,
    measure_stage_costs,
    measure_together,
    read_stage_costs,
    stage_costs,
    turns,
    write_stage_costs,
)
from tests.runtime.cascades import checkpoint, pictures, policy

QUICK = TimingConfig(repeats=4, warmup=1, threads=1)
PARTS = ("advance", "answer", "decide", "decode")


def always(ms: float) -> Timing:
    return Timing(*(float(ms),) * 4)


def costs(**builds_on_previous: bool) -> StageCosts:
    """Three exits with round numbers."""
    of_part = {"exit1": (10, 1, 0.1, 0.01), "exit2": (20, 2, 0.2, 0.02), "full": (40, 4, None, 0.04)}
    exits = {
        name: ExitTiming(
            *(None if part is None else always(part) for part in parts),
            leaving=always(0),
            builds_on_previous=builds_on_previous.get(name, False),
        )
        for name, parts in of_part.items()
    }
    return StageCosts("torch", "cpu", 1, 1, 100, this_machine(), exits)


def test_leaving_costs_add_up():
    assert costs().leaving_costs() == pytest.approx({"exit1": 11.11, "exit2": 33.32, "full": 77.34})
    # Exits that are passed by neither answer nor decide.
    assert costs().leaving_costs({"exit2"}) == pytest.approx({"exit1": 11.01, "exit2": 32.22, "full": 76.24})
    assert costs().leaving_costs(()) == pytest.approx({"exit1": 11.01, "exit2": 32.02, "full": 74.04})
    # Unless a later answer is built on theirs.
    linked = costs(exit2=True).leaving_costs(())
    assert linked == pytest.approx({"exit1": 11.01, "exit2": 33.02, "full": 74.04})
    linked = costs(exit2=True, full=True).leaving_costs(())
    assert linked == pytest.approx({"exit1": 11.01, "exit2": 33.02, "full": 77.04})
    with pytest.raises(ValueError, match="deciding must be among exit1, exit2, got full"):
        costs().leaving_costs({"full"})


def test_scores_are_averaged_with_a_digest_that_somebody_must_make():
    whole = costs(full=True)
    averaged = replace(whole, exits=whole.exits | {"full": replace(whole.exits["full"], averaged=True)})
    plain_ms, averaged_ms = whole.leaving_costs(()), averaged.leaving_costs(())
    assert averaged_ms["full"] == pytest.approx(plain_ms["full"] + 0.2)
    assert averaged_ms["exit2"] == plain_ms["exit2"]
    # An exit that decides has made it anyway.
    assert averaged.leaving_costs({"exit2"}) == whole.leaving_costs({"exit2"})
    found = measure_stage_costs(Detector(checkpoint("averaged")), pictures(), QUICK)
    assert [timing.averaged for timing in found.exits.values()] == [False, True, True]


def test_a_look_that_does_not_decide_costs_nothing():
    whole = costs()
    looking = replace(whole, exits=whole.exits | {"exit1": replace(whole.exits["exit1"], apart=True)})
    assert looking.leaving_costs() == whole.leaving_costs()
    assert looking.leaving_costs({"exit2"}) == pytest.approx({"exit1": 11.01, "exit2": 22.22, "full": 66.24})
    assert looking.leaving_costs(()) == pytest.approx({"exit1": 11.01, "exit2": 22.02, "full": 64.04})
    found = measure_stage_costs(Detector(checkpoint("looks")), pictures(), QUICK)
    assert [timing.apart for timing in found.exits.values()] == [True, False, False]
    assert [timing.builds_on_previous for timing in found.exits.values()] == [False, False, True]


def test_costs_are_read_back(tmp_path):
    path = write_stage_costs(tmp_path, costs(full=True))
    assert path == tmp_path / "costs" / "torch.json"
    assert read_stage_costs(path) == costs(full=True)
    assert [file.name for file in path.parent.iterdir()] == ["torch.json"]


def test_unreadable_costs_are_refused(tmp_path):
    path = tmp_path / "costs" / "torch.json"
    with pytest.raises(UserError, match="no such file"):
        read_stage_costs(path)
    write_stage_costs(tmp_path, costs())
    content = json.loads(path.read_text())
    for wrong, message in (
        ("{", "not readable as JSON"),
        ("[]", "not readable as stage costs"),
        (json.dumps(content | {"schema_version": 2}), "schema_version is 2, this version reads 1"),
        (json.dumps(content | {"threads": "many"}), "threads"),
        (json.dumps(content | {"exits": {"exit1": {}}}), "exits.exit1"),
    ):
        path.write_text(wrong)
        with pytest.raises(UserError, match=message):
            read_stage_costs(path)


def test_summary_of_samples():
    samples = np.arange(101.0)
    assert Timing.of(samples) == Timing(50.0, 50.0, 90.0, 99.0)


@pytest.fixture
def detector() -> Detector:
    return Detector(checkpoint("chained"))


def test_what_is_measured(detector):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = measure_stage_costs(detector, pictures(), QUICK)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (found.backend, found.device, found.threads, found.batch_size, found.repeats) == ("torch", "cpu", 1, 1, 4)
    assert found.machine == this_machine()
    assert tuple(found.exits) == detector.exit_names
    assert [timing.builds_on_previous for timing in found.exits.values()] == [False, True, True]
    on_the_way_ms = 0.0
    for name, timing in found.exits.items():
        assert (timing.decide is None) == (name == "full")
        parts = [getattr(timing, part) for part in PARTS if getattr(timing, part)]
        for part in (*parts, timing.leaving):
            assert 0 < part.p50_ms <= part.p90_ms <= part.p99_ms
        on_the_way_ms += sum(part.mean_ms for part in parts[:-1])
        assert timing.leaving.mean_ms == pytest.approx(on_the_way_ms + timing.decode.mean_ms)
    assert found.leaving_costs() == pytest.approx({n: timing.leaving.mean_ms for n, timing in found.exits.items()})


STEP_MS = 8.0


class Watch:
    """Stands in for the clock: time passes only in functions that are made slow."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(stage_costs, "time", self)

    def perf_counter(self) -> float:
        return self.now

    def slow(self, function):
        def slowed(*arguments):
            self.now += STEP_MS / 1e3
            return function(*arguments)

        return slowed


@pytest.fixture
def watch(monkeypatch) -> Watch:
    return Watch(monkeypatch)


SLOWED = [("advance", "advance"), ("answer", "answer"), ("make_digest", "decide"), ("decode_kept", "decode")]


@pytest.mark.parametrize(("function", "part"), SLOWED)
def test_time_shows_where_it_is_spent(detector, monkeypatch, watch, function, part):
    place = detector.network if hasattr(detector.network, function) else stage_costs
    monkeypatch.setattr(place, function, watch.slow(getattr(place, function)))
    found = measure_stage_costs(detector, pictures(), QUICK)
    for name, timing in found.exits.items():
        for other in PARTS:
            expected = STEP_MS if other == part else 0
            if (name, other) != ("full", "decide"):
                assert getattr(timing, other).p50_ms == pytest.approx(expected)
    steps = {"advance": (1, 2, 3), "answer": (1, 2, 3), "decide": (1, 2, 2), "decode": (1, 1, 1)}[part]
    leaving_ms = [step * STEP_MS for step in steps]
    assert list(found.leaving_costs().values()) == pytest.approx(leaving_ms)
    assert [timing.leaving.p99_ms for timing in found.exits.values()] == pytest.approx(leaving_ms)


def test_scaling_the_pixels_is_paid_in_the_first_stage(detector, monkeypatch, watch):
    monkeypatch.setattr(detector.network, "start", watch.slow(detector.network.start))
    found = measure_stage_costs(detector, pictures(), QUICK)
    assert [timing.advance.mean_ms for timing in found.exits.values()] == pytest.approx([STEP_MS, 0, 0])


def test_warming_up_does_not_count(detector, monkeypatch, watch):
    advance, calls = detector.network.advance, []

    def slow_at_first(name, state):
        calls.append(name)
        return (watch.slow(advance) if len(calls) <= 6 else advance)(name, state)

    monkeypatch.setattr(detector.network, "advance", slow_at_first)
    found = measure_stage_costs(detector, pictures(), TimingConfig(repeats=2, warmup=2, threads=1))
    assert len(calls) == 12
    assert all(timing.advance.p99_ms == 0 for timing in found.exits.values())


def test_a_sleep_is_seen_by_the_real_clock(detector, monkeypatch):
    advance = detector.network.advance

    def sleepy(name, state):
        if name == "exit2":
            time.sleep(0.1)
        return advance(name, state)

    monkeypatch.setattr(detector.network, "advance", sleepy)
    found = measure_stage_costs(detector, pictures(), QUICK)
    assert found.exits["exit2"].advance.p50_ms > 95
    leaving = found.leaving_costs()
    assert leaving["exit2"] > 95
    assert leaving["full"] > 95
    assert found.exits["exit1"].advance.p50_ms < found.exits["exit2"].advance.p50_ms


def test_a_batch_is_shared_by_its_images(detector, monkeypatch, watch):
    batches, start = [], watch.slow(detector.network.start)

    def watched(images):
        batches.append(images.clone())
        return start(images)

    monkeypatch.setattr(detector.network, "start", watched)
    images = pictures()[:5]
    found = measure_stage_costs(detector, images, TimingConfig(batch_size=4, repeats=3, warmup=0, threads=1))
    assert found.batch_size == 4
    assert found.exits["exit1"].advance.mean_ms == pytest.approx(STEP_MS / 4)
    # The images take turns.
    for given, places in zip(batches, ([0, 1, 2, 3], [4, 0, 1, 2], [3, 4, 0, 1]), strict=True):
        assert torch.equal(given, images[places])


def test_a_runner_is_timed_with_its_policy(detector, monkeypatch, watch):
    runner = Runner(
        detector, policy({"exit1": ThresholdRule("max_score", 0.5)}, calibration={"exit2": ExitCalibration(2.0)})
    )
    asked: list[str] = []
    stops = Policy.stops

    def watched(self, name, digest, previous):
        asked.append(name)
        assert (previous is None) == (name == "exit1")
        return stops(self, name, digest, previous)

    monkeypatch.setattr(Policy, "stops", watch.slow(watched))
    alone, with_policy = measure_together([detector, runner], pictures(), QUICK)
    assert asked == ["exit1", "exit2"] * 5
    assert list(alone.leaving_costs().values()) == [0, 0, 0]
    assert list(with_policy.leaving_costs().values()) == pytest.approx([STEP_MS, 2 * STEP_MS, 2 * STEP_MS])

    monkeypatch.setattr(Policy, "stops", stops)
    monkeypatch.setattr(ExitCalibration, "scores", watch.slow(ExitCalibration.scores))
    found = measure_stage_costs(runner, pictures(), QUICK)
    assert [timing.decode.mean_ms for timing in found.exits.values()] == pytest.approx([0, STEP_MS, 0])


def test_detectors_take_turns_at_stretches(detector, monkeypatch):
    monkeypatch.setattr(turns, "STRETCH", 2)
    order, other = [], Detector(checkpoint("static"))
    for name, one in (("cascade", detector), ("static", other)):

        def start(images, name=name, one=one):
            order.append(name)
            return type(one.network).start(one.network, images)

        monkeypatch.setattr(one.network, "start", start)
    found = measure_together([detector, other], pictures(), QUICK)
    assert order == ["cascade"] * 2 + ["static"] * 4 + ["cascade"] * 3 + ["static"]
    assert [list(one.exits) for one in found] == [["exit1", "exit2", "full"], ["full"]]


def test_nothing_to_time(detector):
    with pytest.raises(ValueError, match="at least one image"):
        measure_stage_costs(detector, pictures()[:0])


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"repeats": 0}, {"warmup": -1}, {"threads": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must"):
        TimingConfig(**wrong)
