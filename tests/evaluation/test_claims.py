"""Claims on draws of which the truth is known."""

import numpy as np
import pytest

from cascade_exit.evaluation.claims import signs_beyond_chance, standard_errors

FIGURES, RESAMPLES, DRAWS = 12, 400, 300


def draw(truth: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of standard error 1, and what a bootstrap would make of them."""
    rng = np.random.default_rng(seed)
    own = truth + rng.normal(size=truth.size)
    return own, own + rng.normal(size=(RESAMPLES, truth.size))


def test_chance_alone_makes_a_claim_once_in_twenty_times() -> None:
    nothing = np.zeros(FIGURES)
    draws = [draw(nothing, seed) for seed in range(DRAWS)]
    claimed = np.mean([signs_beyond_chance(*each).any() for each in draws])
    # The chance is 0.05, its standard error over so many draws 0.013.
    assert 0.01 < claimed < 0.09
    # Each interval by itself finds something in 1 - 0.95^12 = 46 % of the draws.
    by_themselves = np.mean([(np.abs(own) > 1.96 * standard_errors(drawn)).any() for own, drawn in draws])
    assert 0.38 < by_themselves < 0.54


def test_what_is_there_is_found_with_its_sign() -> None:
    truth = np.array([6.0, -6.0, *np.zeros(FIGURES - 2)])
    signs = np.array([signs_beyond_chance(*draw(truth, seed)) for seed in range(100)])
    assert (signs[:, 0] == 1).mean() > 0.98
    assert (signs[:, 1] == -1).mean() > 0.98
    assert signs[:, 2:].any(axis=1).mean() < 0.12


def test_what_is_no_number_or_never_changes_is_not_told_from_zero() -> None:
    own, drawn = draw(np.array([9.0, 9.0, 9.0, 9.0]), 0)
    own[1] = np.nan
    drawn[:, 2] = own[2]
    drawn[::3, 3] = np.nan
    assert signs_beyond_chance(own, drawn).tolist() == [1, 0, 0, 1]
    assert standard_errors(drawn)[3] == pytest.approx(np.nanstd(drawn[:, 3], ddof=1))
    assert standard_errors(np.full((5, 1), np.nan)).tolist() == [0]
