import numpy as np
import pytest
import torch

from cascade_exit.evaluation import ExitMixture, Matches, match_detections, mixture_ap
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.marginal import marginal_gains
from cascade_exit.policies.router import _fit_ridge, fit_router
from cascade_exit.policies.rules import Rule, ThresholdRule
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace

from .synthetic import MACS, make_trace


def matched(trace: Trace) -> list[Matches]:
    ids = [image.image_id for image in trace.truth]
    return [
        match_detections(trace.truth, each.detections.by_image_id(ids), trace.header.classes)
        for each in trace.exits.values()
    ]


def ap_with_exits(rule: Rule, trace: Trace, mixture: ExitMixture, share: float) -> float:
    """AP where the share of the images that the rule holds safest stop at exit 1 and the others go all the way."""
    values = rule.values(trace.exits["exit1"].digest, None).double().numpy()
    choice = np.full(len(trace), 2)
    choice[np.argsort(-values, kind="stable")[: round(share * len(trace))]] = 0
    return mixture_ap(mixture, choice)


@pytest.fixture(scope="module")
def traces() -> tuple[Trace, Trace]:
    return make_trace(200, seed=1), make_trace(200, seed=2)


def test_beats_the_highest_score_on_images_it_was_not_fitted_to(traces: tuple[Trace, Trace]) -> None:
    rule = fit_router(traces[0], matched(traces[0]), "exit1", MACS)
    matches = matched(traces[1])
    mixture = ExitMixture(matches)
    rng = np.random.default_rng(0)
    for share in (0.3, 0.5, 0.7):
        ours = ap_with_exits(rule, traces[1], mixture, share)
        assert ours > ap_with_exits(ThresholdRule("max_score", 0.5), traces[1], mixture, share) + 0.02
        drawn = [mixture_ap(mixture, np.where(rng.random(len(traces[1])) < share, 0, 2)) for _ in range(10)]
        assert ours > np.mean(drawn) + 0.05


def test_value_is_minus_the_predicted_gain_per_cost(traces: tuple[Trace, Trace]) -> None:
    trace, matches = traces[0], matched(traces[0])
    gains = marginal_gains(matches, 0, 2, 4, 0)
    rule = fit_router(trace, matches, "exit1", MACS)
    predicted = -rule.values(trace.exits["exit1"].digest, None).numpy() * rule.cost
    assert rule.cost == pytest.approx((600 - 180) / 600)
    assert predicted.mean() == pytest.approx(gains.mean(), abs=1e-9)
    assert np.corrcoef(predicted, gains)[0, 1] > 0.5
    dear = fit_router(trace, matches, "exit1", MACS | {"exit1": 390e6})
    np.testing.assert_allclose(dear.values(trace.exits["exit1"].digest, None).numpy(), -predicted / 0.35, rtol=1e-9)


def test_is_the_same_every_time(traces: tuple[Trace, Trace]) -> None:
    matches = matched(traces[0])
    assert fit_router(traces[0], matches, "exit2", MACS) == fit_router(traces[0], matches, "exit2", MACS)


def test_finds_nothing_where_the_digest_says_nothing(traces: tuple[Trace, Trace]) -> None:
    trace, matches = traces[0], matched(traces[0])
    gains = marginal_gains(matches, 0, 2, contexts=1)
    order = torch.randperm(len(trace), generator=torch.Generator().manual_seed(0))
    digest = trace.exits["exit1"].digest.of(order)
    rule = fit_router(_with_digest(trace, digest), matches, "exit1", MACS, contexts=1)
    predicted = -rule.values(digest, None).numpy() * rule.cost
    np.testing.assert_allclose(predicted, gains.mean(), rtol=1e-9)


def test_noise_is_rarely_taken_for_a_signal() -> None:
    rng = np.random.default_rng(0)
    found = sum(_fit_ridge(rng.normal(size=(200, 20)), rng.standard_t(3, 200))[0].any() for _ in range(100))
    # Most fits to noise are worse than the constant; few better by a whole standard error.
    assert found <= 10
    told = 0
    for _ in range(100):
        features = rng.normal(size=(200, 20))
        told += _fit_ridge(features, 0.5 * features[:, 3] + rng.normal(size=200))[0].any()
    assert told >= 95


def _with_digest(trace: Trace, digest) -> Trace:
    exit1 = trace.exits["exit1"]
    changed = type(exit1)(exit1.detections, digest, exit1.quality)
    return Trace(trace.header, trace.truth, trace.difficulties, {**trace.exits, "exit1": changed})


def test_later_exits_compare_and_the_first_does_not(traces: tuple[Trace, Trace]) -> None:
    matches = matched(traces[0])
    assert "agreement" not in fit_router(traces[0], matches, "exit1", MACS).statistics
    assert "agreement" in fit_router(traces[0], matches, "exit2", MACS).statistics


def test_fits_to_some_of_the_images_alone(traces: tuple[Trace, Trace]) -> None:
    trace, matches = traces[0], matched(traces[0])
    part = np.arange(200) < 100
    rule = fit_router(trace, matches, "exit1", MACS, images=part)
    digest = trace.exits["exit1"].digest
    logits = digest.logits.clone()
    logits[100:] = 0
    scrambled = [matches[0], matches[1], _other_answers_after(matches[2], 100)]
    assert rule == fit_router(
        _with_digest(trace, digest.replaced(logits=logits)), scrambled, "exit1", MACS, images=part
    )
    assert rule != fit_router(trace, matches, "exit1", MACS)


def _other_answers_after(matches: Matches, place: int) -> Matches:
    only = matches.classes[0]
    wrong = only.correct & (only.images[only.candidates] < place)
    return Matches(matches.image_ids, matches.class_names, (type(only)(**{**vars(only), "correct": wrong}),))


def test_sees_calibrated_digests(traces: tuple[Trace, Trace]) -> None:
    trace, matches = traces[0], matched(traces[0])
    cool = {"exit1": ExitCalibration(2.0)}
    rule = fit_router(trace, matches, "exit1", MACS, ("max_score",), cool)
    digest = cool["exit1"].digest(trace.exits["exit1"].digest)
    assert rule.means[0] == pytest.approx(float(digest.logits.softmax(-1)[..., 1:].amax((1, 2)).double().mean()))


def test_bad_input_gets_one_clear_line(traces: tuple[Trace, Trace]) -> None:
    trace, matches = traces[0], matched(traces[0])
    nothing = make_trace(20, empty=1.0)
    empty = make_trace(0)
    cases = [
        (empty, matched(empty), "exit1", MACS, "the trace of calibrate holds no image"),
        (nothing, matched(nothing), "exit1", MACS, "the images of calibrate hold no object"),
        (trace, matches, "exit1", MACS | {"exit1": 600e6}, "going on from exit1 to full must cost something"),
        (trace, matches, "exit9", MACS, "exit must be one of exit1, exit2, got exit9"),
    ]
    for broken, of_exits, name, costs, line in cases:
        with pytest.raises(UserError, match=line) as caught:
            fit_router(broken, of_exits, name, costs)
        assert "\n" not in str(caught.value)


def test_few_images_give_a_constant() -> None:
    trace = make_trace(8, empty=0)
    rule = fit_router(trace, matched(trace), "exit1", MACS)
    assert not any(rule.weights)
