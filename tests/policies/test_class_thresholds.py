"""Thresholds per class against one for all, against the same cross-fitted by hand."""

import numpy as np
import pytest

from cascade_exit.evaluation import average_precision, percentile_interval, resampled_weights
from cascade_exit.policies.class_thresholds import compare_class_thresholds, verdict
from cascade_exit.policies.fair import Folds, crossfit_answers, crossfit_families
from cascade_exit.policies.per_class import fit_per_class
from cascade_exit.policies.pooling import fit_calibration

from .synthetic import make_trace
from .test_fair import TWO, measuring

RESAMPLES = 25


@pytest.fixture(scope="module")
def settings():
    return measuring(make_trace(70, classes=2, hard=0.3, **TWO), RESAMPLES)


@pytest.fixture(scope="module")
def figures(settings):
    return compare_class_thresholds(settings, 0.1)


def test_variants_are_cross_fitted_families(settings, figures):
    by_hand = crossfit_families(settings, ["per_class"], drops=(0.1,)).figures["per_class"]["0.1"]
    assert figures["shrunk"] == by_hand
    assert figures["limit"] == 0.1
    assert figures["own"]["AP"] != figures["shared"]["AP"]


def test_differences_are_paired(settings, figures):
    folds = Folds(settings)
    own, shared = (crossfit_answers(f"per_class_{name}", settings, 0.1, folds) for name in ("own", "shared"))
    difference = figures["differences"]["own"]
    assert difference["AP"] == pytest.approx(figures["own"]["AP"] - figures["shared"]["AP"], abs=1e-9)
    assert difference["speedup_macs"] == pytest.approx(
        figures["own"]["speedup_macs"] - figures["shared"]["speedup_macs"], abs=1e-9
    )
    gaps = [
        average_precision(own.matches, weights) - average_precision(shared.matches, weights)
        for weights in resampled_weights(len(settings.trace), RESAMPLES, groups=settings.groups)
    ]
    assert difference["intervals"]["AP"] == pytest.approx(percentile_interval(np.array(gaps)), abs=1e-9)
    assert figures["differences"].keys() == {"own", "shrunk"}


def test_thresholds_are_those_fitted_to_all_images(settings, figures):
    rule = fit_per_class(settings.trace, "exit1", fit_calibration(settings.trace))
    assert tuple(figures["exits"]["exit1"]["shrunk"].values()) == rule.class_thresholds
    assert figures["exits"].keys() == {"exit1"}


def test_verdicts():
    above, below, both = (0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)
    assert verdict(above, both) == verdict(both, above) == verdict(above, above) == "helps"
    assert verdict(below, both) == verdict(both, below) == "harms"
    assert verdict(above, below) == verdict(below, above) == "trades"
    assert verdict(both, both) == "not told apart"
