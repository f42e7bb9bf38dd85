import numpy as np
import pytest

from cascade_exit.policies.move_estimates import MoveEstimates
from cascade_exit.policies.scoring import Scorer

from .synthetic import MACS, make_trace


@pytest.mark.parametrize(("classes", "crowd"), [(1, 0.0), (3, 0.2)])
def test_estimates_follow_the_exact_gains(classes: int, crowd: float) -> None:
    trace = make_trace(60, classes, seed=3, crowd=crowd)
    scorer = Scorer(trace, MACS)
    choice = np.random.default_rng(0).integers(0, 3, 60)
    estimated = MoveEstimates(scorer.matches).gains(choice)
    assert (estimated[choice, np.arange(60)] == 0).all()
    base, exact, found = scorer.ap(choice), [], []
    for image in range(60):
        for to in {0, 1, 2} - {int(choice[image])}:
            moved = choice.copy()
            moved[image] = to
            exact.append(scorer.ap(moved) - base)
            found.append(estimated[to, image])
    slope = np.polyfit(found, exact, 1)[0]
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert 0.9 < slope < 1.1
    assert np.abs(np.array(found) - exact).mean() < 0.16 * np.abs(exact).mean()
