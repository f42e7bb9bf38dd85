from dataclasses import replace

import numpy as np
import pytest
import torch

from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.logistic import RIDGE, as_good_as_full, fit_logistic
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

from .synthetic import make_trace

NAMES = ("max_score", "mid_scores", "top_mean")


def with_digest(trace: Trace, name: str, **parts: torch.Tensor) -> Trace:
    exits = dict(trace.exits)
    exit_trace = exits[name]
    changed = type(exit_trace)(exit_trace.detections, exit_trace.digest.replaced(**parts), exit_trace.quality)
    return Trace(trace.header, trace.truth, trace.difficulties, exits | {name: changed})


def test_as_good_as_full_by_hand() -> None:
    trace = make_trace(80)
    for measure in ("f1", "recall"):
        found = as_good_as_full(trace, "exit1", measure)
        for place, image in enumerate(trace.truth):
            ours, full = (trace.exits[name].quality for name in ("exit1", "full"))
            if len(image.labels):
                assert found[place] == (getattr(ours, measure)[place] >= getattr(full, measure)[place])
            else:
                assert found[place] == (ours.false_positives[place] <= full.false_positives[place])
    assert as_good_as_full(trace, "full").all()


def test_images_without_objects_are_judged_by_false_positives() -> None:
    trace = make_trace(6, empty=1.0)
    counts = {"exit1": [0, 1, 2, 0, 3, 1], "full": [0, 1, 1, 2, 0, 2]}
    exits = {
        name: replace(trace.exits[name], quality=replace(trace.exits[name].quality, false_positives=np.array(count)))
        for name, count in counts.items()
    }
    found = as_good_as_full(replace(trace, exits=exits), "exit1")
    assert found.tolist() == [True, True, False, True, False, True]


def test_is_the_penalised_maximum_likelihood() -> None:
    trace = make_trace(200)
    target = as_good_as_full(trace, "exit1")
    rule = fit_logistic(trace, "exit1", NAMES, target)
    features = torch.stack([STATISTICS[name](trace.exits["exit1"].digest, None).double() for name in NAMES], dim=1)
    features = (features - features.mean(0)) / features.std(0, correction=0)
    solution = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([solution], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        odds = solution[0] + features @ solution[1:]
        fit = torch.nn.functional.binary_cross_entropy_with_logits(
            odds, torch.tensor(target, dtype=torch.float64), reduction="sum"
        )
        total = fit + RIDGE / 2 * (solution[1:] ** 2).sum()
        total.backward()
        return total

    optimiser.step(loss)
    assert (rule.bias, *rule.weights) == pytest.approx(solution.tolist(), abs=1e-5)
    probability = rule.values(trace.exits["exit1"].digest, None).numpy()
    # A fitted bias makes the mean probability the rate of the target.
    assert probability.mean() == pytest.approx(target.mean(), abs=1e-8)
    assert probability[target].mean() > probability[~target].mean() + 0.1


def test_is_the_same_every_time_and_finite_where_the_sides_are_apart() -> None:
    trace = make_trace(60)
    target = trace.exits["exit1"].digest.logits.softmax(-1)[:, 0, 1].numpy() > 0.5
    rule = fit_logistic(trace, "exit1", ("max_score",), target)
    assert rule == fit_logistic(trace, "exit1", ("max_score",), target)
    assert 0 < rule.weights[0] < 100


def test_sees_calibrated_digests() -> None:
    trace = make_trace(60)
    target = as_good_as_full(trace, "exit2")
    cool = {"exit1": ExitCalibration(2.0), "exit2": ExitCalibration(3.0)}
    rule = fit_logistic(trace, "exit2", ("max_score", "agreement"), target, cool)
    digest, previous = (cool[name].digest(trace.exits[name].digest) for name in ("exit2", "exit1"))
    expected = [STATISTICS[name](digest, previous).double().mean().item() for name in rule.statistics]
    assert rule.means == pytest.approx(expected)


def test_fits_to_some_of_the_images_alone() -> None:
    trace = make_trace(80)
    target = as_good_as_full(trace, "exit1")
    part = np.arange(80) % 2 == 0
    other = np.where(part, target, ~target)
    rule = fit_logistic(trace, "exit1", NAMES, target, images=part)
    assert rule == fit_logistic(trace, "exit1", NAMES, other, images=part)
    assert rule != fit_logistic(trace, "exit1", NAMES, target)


def test_bad_input_gets_one_clear_line() -> None:
    trace, many = make_trace(40), np.arange(40) % 2 == 0
    digest = trace.exits["exit1"].digest
    cases = [
        (trace, "exit1", ("max_score",), ~np.zeros(40, bool), "exit1: stopping is right for all 40 images"),
        (trace, "exit1", ("max_score",), np.zeros(40, bool), "exit1: stopping is wrong for all 40 images"),
        (trace, "full", ("max_score",), many, "exit must be one of exit1, exit2, got full"),
        (trace, "exit1", ("agreement",), many, "agreement needs the previous exit's answer"),
        (make_trace(0), "exit1", ("max_score",), np.zeros(0, bool), "the trace of calibrate holds no image"),
        (
            with_digest(trace, "exit1", mean_confidence=torch.full((40,), 0.7)),
            "exit1",
            ("max_score", "mean_confidence"),
            many,
            "exit1: mean_confidence is the same for all 40 images: leave it out",
        ),
        (
            with_digest(trace, "exit1", mean_confidence=digest.mean_confidence * float("nan")),
            "exit1",
            ("mean_confidence",),
            many,
            "statistics are no numbers for 40 of 40 images",
        ),
    ]
    for broken, name, statistics, target, line in cases:
        with pytest.raises(UserError, match=line) as caught:
            fit_logistic(broken, name, statistics, target)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="did you mean 'max_score'"):
        fit_logistic(trace, "exit1", ("max_scor",), many)


def test_no_statistic_that_tells_images_apart_is_one_line() -> None:
    trace = make_trace(20)
    with pytest.raises(UserError, match="exit1: no statistic tells its images apart"):
        fit_logistic(trace, "exit1", (), as_good_as_full(trace, "exit1"))
