import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import ExitMixture, match_detections, mixture_ap
from cascade_exit.policies.marginal import SingleMoves, marginal_gains
from tests.evaluation.reference import class_names, random_detections, random_truth


def matched(seed: int, images: int, classes: int) -> list:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, classes)
    return [match_detections(truth, random_detections(rng, truth, classes), class_names(classes)) for _ in range(3)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), images=st.integers(1, 12), classes=st.integers(1, 3))
def test_is_the_ap_of_each_changed_mixture(seed: int, images: int, classes: int) -> None:
    matches = matched(seed, images, classes)
    mixture, moves = ExitMixture(matches), SingleMoves(matches)
    choice = np.random.default_rng(seed).integers(3, size=images)
    for to in range(3):
        changed = [np.where(np.arange(images) == place, to, choice) for place in range(images)]
        expected = [mixture_ap(mixture, each) for each in changed]
        np.testing.assert_allclose(moves.ap(choice, to), expected, rtol=0, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_of_a_part_of_the_set_is_that_of_the_part_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matches, part, choice = matched(seed, 10, 2), rng.random(10) < 0.6, rng.integers(3, size=10)
    mixture = ExitMixture(matches)
    found = SingleMoves(matches, part).ap(choice, 2)
    for place in np.flatnonzero(part):
        expected = mixture_ap(mixture, np.where(np.arange(10) == place, 2, choice), part)
        assert found[place] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_many_steps_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = matched(5, 30, 2)
    choice = np.arange(30) % 3
    at_once = SingleMoves(matches).ap(choice, 2)
    monkeypatch.setattr("cascade_exit.policies.marginal._NUMBERS_PER_STEP", 1)
    np.testing.assert_array_equal(SingleMoves(matches).ap(choice, 2), at_once)


def test_gain_is_the_mean_over_the_drawn_contexts() -> None:
    matches = matched(7, 8, 2)
    mixture = ExitMixture(matches)
    rng = np.random.default_rng(3)
    contexts = [rng.integers(3, size=8) for _ in range(2)]
    for place, gain in enumerate(marginal_gains(matches, 0, 2, contexts=2, seed=3)):
        at = np.arange(8) == place
        changes = [mixture_ap(mixture, np.where(at, 2, c)) - mixture_ap(mixture, np.where(at, 0, c)) for c in contexts]
        assert gain == pytest.approx(8 * np.mean(changes), abs=1e-10)


def test_same_answer_gains_nothing() -> None:
    one, other = matched(9, 8, 2)[:2]
    np.testing.assert_allclose(marginal_gains([one, other, one], 0, 2), 0, atol=1e-12)


def test_nothing_to_be_found_has_no_gain() -> None:
    rng = np.random.default_rng(0)
    truth = random_truth(rng, 4, 1, most_objects=0)
    matches = [match_detections(truth, random_detections(rng, truth, 1), class_names(1)) for _ in range(2)]
    assert np.isnan(SingleMoves(matches).ap(np.zeros(4, int), 1)).all()
