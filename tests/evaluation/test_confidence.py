import numpy as np
import pytest

from cascade_exit.evaluation import confidence_distribution


def test_distribution_by_hand() -> None:
    found = confidence_distribution(np.array([[0.0, 0.04], [0.27, 0.52]], np.float32))
    assert found is not None
    assert found.count == 4
    assert found.mean == pytest.approx(0.2075)
    assert found.std == pytest.approx(np.std([0.0, 0.04, 0.27, 0.52]))
    assert np.flatnonzero(found.histogram).tolist() == [0, 5, 10]
    assert found.histogram[[0, 5, 10]].tolist() == [2, 1, 1]


def test_certainty_falls_into_the_last_bin() -> None:
    found = confidence_distribution(np.array([1.0]))
    assert found is not None
    assert found.histogram.tolist() == [0] * 19 + [1]


def test_no_values_have_no_distribution() -> None:
    assert confidence_distribution(np.zeros(0)) is None


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_what_is_no_confidence_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="1 of 2 are not"):
        confidence_distribution(np.array([0.5, wrong]))
