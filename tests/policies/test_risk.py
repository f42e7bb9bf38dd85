import math

import numpy as np
import pytest

from cascade_exit.evaluation import Quality
from cascade_exit.policies.operating_points import choose_exits, rule_values
from cascade_exit.policies.risk import (
    RiskLimit,
    control_risk,
    empty_losses,
    image_losses,
    images_needed,
    risk_bound,
    threshold_path,
)
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import UserError

from .synthetic import make_trace

NAN = math.nan
STEPS = np.linspace(1, 0, 21)


def quality(recall: list[float], f1: list[float], false_positives: list[int]) -> Quality:
    return Quality(np.array(recall), np.array(f1), np.array(false_positives))


def recalls(values: np.ndarray) -> Quality:
    return Quality(values, values, np.zeros(values.size, np.int64))


def draw(rng: np.random.Generator, images: int) -> tuple[list[Quality], np.ndarray]:
    """Images that stop from threshold t on, and then lose half of their recall the more often the lower their value.

    The risk at t is the integral of 0.5 (1 - v) over v from t to 1: 0.25 (1 - t)^2.
    """
    values = rng.random(images)
    losses = 0.5 * (rng.random(images) < 1 - values)
    choices = np.where(values >= STEPS[:, None], 0, 1)
    return [recalls(1 - losses), recalls(np.ones(images))], choices


def true_risk(step: int) -> float:
    return 0.25 * (1 - STEPS[step]) ** 2


def test_losses_by_hand() -> None:
    early = quality([0.5, NAN, NAN, 1.0, NAN], [0.4, NAN, NAN, 0.9, NAN], [1, 0, 2, 0, 3])
    full = quality([0.75, NAN, NAN, 0.5, NAN], [0.8, NAN, NAN, 0.9, NAN], [0, 0, 0, 4, 1])
    recall = image_losses([early, full], "recall")
    np.testing.assert_allclose(recall[0], [0.25, NAN, NAN, 0.0, NAN])
    np.testing.assert_allclose(recall[1], [0.0, NAN, NAN, 0.0, NAN])
    np.testing.assert_allclose(image_losses([early, full], "f1")[0], [0.4, 0.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(empty_losses([early, full])[0], [NAN, 0.0, 1.0, NAN, 0.0])


@pytest.mark.parametrize("images", [200, 500])
def test_ucb_breaks_its_limit_in_at_most_delta_of_the_draws(images: int) -> None:
    rng = np.random.default_rng(images)
    limit = RiskLimit("recall", 0.05, 0.2)
    draws = 150
    found = [control_risk(*draw(rng, images), limit, 0.3) for _ in range(draws)]
    broken = np.mean([true_risk(each.step) > limit.epsilon for each in found])
    assert broken <= limit.delta + 2.5 * math.sqrt(limit.delta * (1 - limit.delta) / draws)
    certified = [each for each in found if each.certificate is not None]
    assert len(certified) > 0.9 * draws
    assert all(each.certificate.mean_loss <= each.certificate.bound <= limit.epsilon for each in certified)
    # It is not safe by doing nothing: with more images it comes near the limit.
    assert np.mean([true_risk(each.step) for each in found]) > (0.25 if images == 200 else 0.5) * limit.epsilon


def test_crc_keeps_its_limit_on_average() -> None:
    rng = np.random.default_rng(1)
    limit = RiskLimit("recall", 0.05, None)
    draws = 400
    risks = [true_risk(control_risk(*draw(rng, 100), limit, 0.3).step) for _ in range(draws)]
    assert np.mean(risks) <= limit.epsilon + 2.5 * np.std(risks) / math.sqrt(draws)
    assert np.mean(risks) > 0.5 * limit.epsilon


def test_bound_covers_the_mean() -> None:
    rng = np.random.default_rng(2)
    limit = RiskLimit("recall", 0.5, 0.1)
    bounds = [risk_bound(rng.beta(0.3, 3, 150), limit) for _ in range(200)]
    mean = 0.3 / 3.3
    assert np.mean(np.array(bounds) < mean) <= 0.1 + 2.5 * math.sqrt(0.09 / 200)
    assert np.mean(bounds) < mean + 0.06
    assert risk_bound(np.zeros(99), RiskLimit("recall", 0.5, None)) == pytest.approx(0.01)
    assert risk_bound(np.zeros(0), limit) == 1.0
    assert risk_bound(np.ones(50), limit) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("delta", [None, 0.1])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.04])
def test_images_needed_are_just_enough(delta: float | None, rate: float) -> None:
    limit = RiskLimit("recall", 0.05, delta)
    observed = (np.arange(400) < 400 * rate).astype(float)
    needed = images_needed(observed, limit)

    if delta is None:
        # (n mean + 1) / (n + 1) <= epsilon, with equality or just so.
        assert (needed * rate + 1) / (needed + 1) <= 0.05 + 1e-12 < ((needed - 1) * rate + 1) / needed
    else:

        def holds(count: int, seed: int) -> bool:
            losses = (np.arange(count) < round(count * rate)).astype(float)
            return risk_bound(np.random.default_rng(100 + seed).permutation(losses), limit) <= limit.epsilon

        assert np.mean([holds(round(1.4 * needed), seed) for seed in range(20)]) > 0.7
        assert np.mean([holds(round(0.6 * needed), seed) for seed in range(20)]) < 0.3
    assert images_needed(np.full(10, 0.05), limit) is None


def test_too_few_images_give_no_certificate_but_a_number() -> None:
    found = control_risk(*draw(np.random.default_rng(3), 15), RiskLimit("recall", 0.03, 0.1), 0.3)
    assert found.certificate is None
    assert found.step == 0
    assert found.images_needed > 60
    assert "from 15 images with objects" in found.reason
    assert f"about {found.images_needed} are needed" in found.reason


def test_images_without_objects_never_count_as_zero_loss() -> None:
    qualities, choices = draw(np.random.default_rng(4), 300)
    limit = RiskLimit("recall", 0.05, 0.1)
    alone = control_risk(qualities, choices, limit, 0.3)
    empty = 500
    more = [
        Quality(
            np.concatenate([each.recall, np.full(empty, NAN)]),
            np.concatenate([each.f1, np.full(empty, NAN)]),
            np.concatenate([each.false_positives, np.full(empty, claims)]),
        )
        for each, claims in zip(qualities, (2, 0), strict=True)
    ]
    stopping = np.concatenate([choices, np.tile(np.minimum(choices[:, :1], 1), (1, empty))], axis=1)
    both = control_risk(more, stopping, limit, 0.3)
    assert both.step == alone.step
    assert both.certificate.images == 300
    assert both.certificate.empty_images == empty
    assert both.certificate.empty_loss == float(stopping[both.step, -1] == 0)
    # For F1 they do count, and by their false positives.
    assert control_risk(more, stopping, RiskLimit("f1", 0.05, 0.1), 0.3).step < alone.step or (
        stopping[alone.step, -1] == 1
    )


def test_a_loss_once_risked_is_not_undone_by_a_bolder_step() -> None:
    # The middle exit loses all, the first nothing: bolder steps look safe, but the way leads through the middle.
    images = 200
    qualities = [recalls(np.ones(images)), recalls(np.zeros(images)), recalls(np.ones(images))]
    choices = np.stack([np.full(images, 2), np.full(images, 1), np.zeros(images, np.int64)])
    found = control_risk(qualities, choices, RiskLimit("recall", 0.1, 0.1), 0.3)
    assert found.certificate is None
    assert found.images_needed is None
    assert "no number of them is enough" in found.reason
    # The middle exit loses all of one image in fifty: that is never forgotten.
    qualities[1] = recalls((np.arange(images) >= 4).astype(float))
    found = control_risk(qualities, choices, RiskLimit("recall", 0.1, 0.1), 0.3)
    assert found.step == 2
    assert found.certificate.mean_loss == pytest.approx(0.02)


def test_path_is_nested_and_goes_from_nothing_to_all() -> None:
    trace = make_trace(90)
    values = rule_values(trace, {"exit1": ThresholdRule("mid_scores", 0.0), "exit2": ThresholdRule("agreement", 0.0)})
    path = threshold_path(values, 12)
    choices = np.stack([choose_exits(trace.header.exit_names, values, thresholds) for thresholds in path])
    assert (choices[0] == 2).all()
    assert (choices[-1] == 0).all()
    assert (np.diff(choices, axis=0) <= 0).all()
    found = control_risk(
        [trace.exits[name].quality for name in trace.header.exit_names], choices, RiskLimit("f1", 0.2, 0.1), 0.3
    )
    assert found.certificate is not None
    assert found.certificate.facts()["score_threshold"] == 0.3
    assert found.certificate.images == 90


def test_wrong_paths_and_limits_are_refused() -> None:
    qualities, choices = draw(np.random.default_rng(5), 20)
    with pytest.raises(UserError, match="must begin with thresholds that stop no image"):
        control_risk(qualities, choices[-1:], RiskLimit(), 0.3)
    with pytest.raises(UserError, match="step 2 of the path sends an image deeper"):
        control_risk(qualities, choices[[0, -1, 0]], RiskLimit(), 0.3)
    with pytest.raises(ValueError, match=r"epsilon must lie in \(0, 1\), got 0"):
        RiskLimit(epsilon=0.0)
    with pytest.raises(ValueError, match=r"delta must lie in \(0, 1\), got 1"):
        RiskLimit(delta=1.0)
    still = control_risk(qualities, np.ones((3, 20), np.int64), RiskLimit(), 0.3)
    assert "no step of the path stops any image" in still.reason
