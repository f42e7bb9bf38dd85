import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.evaluation import Quality
from cascade_exit.policies.distributions import (
    as_good_as,
    auroc,
    average_ranks,
    image_correctness,
    pearson,
    statistic_distributions,
)
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError

from .synthetic import make_trace

SMALL = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=25)


@settings(max_examples=80, deadline=None)
@given(SMALL)
def test_auroc_by_brute_force(pairs: list[tuple[int, bool]]) -> None:
    values, positive = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    wins = [
        1.0 if yes > no else 0.5 if yes == no else 0.0
        for yes, no in itertools.product(values[positive], values[~positive])
    ]
    if wins:
        assert auroc(values, positive) == pytest.approx(np.mean(wins))
    else:
        assert auroc(values, positive) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ranks_by_counting(numbers: list[int]) -> None:
    values = np.array(numbers, float)
    expected = [(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]
    assert average_ranks(values).tolist() == pytest.approx(expected)


def test_quality_of_images_without_objects() -> None:
    nan = math.nan
    one = Quality(np.array([nan, nan, 0.5]), np.array([nan, nan, 0.4]), np.array([0, 2, 7]))
    two = Quality(np.array([nan, nan, 0.5]), np.array([nan, nan, 0.5]), np.array([0, 1, 7]))
    assert image_correctness(one).tolist() == [1.0, 0.0, 0.4]
    assert as_good_as(one, two).tolist() == [True, False, False]
    assert as_good_as(two, one).tolist() == [True, True, True]


def test_distributions_of_a_trace() -> None:
    trace = make_trace(150, seed=2)
    found = statistic_distributions(trace)
    assert set(found) == {"exit1", "exit2", "full"}
    assert "agreement" not in found["exit1"]
    assert set(found["exit2"]) == set(STATISTICS)
    for name in ("exit1", "exit2", "full"):
        of_exit = trace.exits[name]
        values = STATISTICS["certainty"](of_exit.digest, None).double().numpy()
        each = found[name]["certainty"]
        assert each.mean == pytest.approx(values.mean())
        assert each.std == pytest.approx(values.std())
        assert sum(each.histogram) == 150
        assert each.bin_edges[0] == values.min()
        assert each.bin_edges[-1] == values.max()
        correctness = image_correctness(of_exit.quality)
        centred, others = values - values.mean(), correctness - correctness.mean()
        assert each.pearson == pytest.approx((centred * others).sum() / np.sqrt((centred**2).sum() * (others**2).sum()))
        assert each.spearman == pytest.approx(pearson(average_ranks(values), average_ranks(correctness)))
    assert found["full"]["certainty"].auroc is None
    # Crowded images are those with undecided scores, and those that the first exit answers worse.
    assert found["exit1"]["mid_scores"].auroc > 0.6


def test_constant_and_missing_numbers() -> None:
    trace = make_trace(10)
    trace.exits["exit1"].digest.mean_confidence[:] = 0.5
    assert statistic_distributions(trace, ["mean_confidence"])["exit1"]["mean_confidence"].pearson is None
    trace.exits["exit1"].digest.mean_confidence[2] = math.nan
    with pytest.raises(UserError, match="mean_confidence at exit1: no number for 1 of 10 images"):
        statistic_distributions(trace, ["mean_confidence"])
    with pytest.raises(UserError, match="holds no image"):
        statistic_distributions(make_trace(0))
    with pytest.raises(ValueError, match="did you mean 'max_score'"):
        statistic_distributions(trace, ["max_scores"])


def test_calibration_acts_on_the_digest() -> None:
    from cascade_exit.policies.calibration import ExitCalibration

    trace = make_trace(20)
    plain = statistic_distributions(trace, ["max_score"])["exit1"]["max_score"]
    cooled = statistic_distributions(trace, ["max_score"], {"exit1": ExitCalibration(2.0)})["exit1"]["max_score"]
    scores = (trace.exits["exit1"].digest.logits / 2).softmax(-1)[..., 1:].amax(dim=(1, 2))
    assert cooled.mean == pytest.approx(float(torch.mean(scores)), rel=1e-5)
    assert cooled.mean != pytest.approx(plain.mean, rel=1e-3)
