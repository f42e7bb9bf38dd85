from dataclasses import dataclass, field

import numpy as np
import pytest

from cascade_exit.evaluation import relative_drop_interval
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.crossfit import crossfit, fold_of
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.scoring import Scorer, Static
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace
from tests.evaluation.reference import reference_metrics

from .synthetic import MACS, make_trace


@dataclass
class ByHash:
    """Decides by image id; remembers what it was tuned on."""

    tuned_on: set[int]
    decided: set[int] = field(default_factory=set)
    calibration: dict[str, ExitCalibration] = field(default_factory=dict)

    def choose(self, trace: Trace) -> np.ndarray:
        ids = [image.image_id for image in trace.truth]
        self.decided |= set(ids)
        return np.array([image_id // 3 % 3 for image_id in ids])


def ids_of(trace: Trace) -> set[int]:
    return {image.image_id for image in trace.truth}


def test_no_image_is_decided_by_a_policy_that_has_seen_it() -> None:
    trace = make_trace(60)
    made: list[ByHash] = []

    def tune(part: Trace) -> ByHash:
        made.append(ByHash(ids_of(part)))
        return made[-1]

    found = crossfit(trace, tune, MACS, resamples=5)
    assert len(made) == 5
    for policy in made:
        assert not policy.tuned_on & policy.decided
        assert policy.tuned_on | policy.decided == ids_of(trace)
    assert set().union(*(policy.decided for policy in made)) == ids_of(trace)
    assert sum(len(policy.decided) for policy in made) == 60
    assert found.choice.tolist() == [image.image_id // 3 % 3 for image in trace.truth]


def test_figures_are_those_of_the_choice() -> None:
    trace = make_trace(70, classes=2)
    found = crossfit(trace, lambda part: ByHash(ids_of(part)), MACS, resamples=30, seed=4)
    scorer = Scorer(trace, MACS)
    assert found.score == scorer.score(found.choice)
    expected = relative_drop_interval(scorer.mixture.choose(found.choice), scorer.matches[-1], resamples=30, seed=4)
    assert found.relative_ap_drop_interval == expected
    assert found.relative_ap_drop_interval[0] < found.score.relative_ap_drop < found.relative_ap_drop_interval[1]
    assert found.ap_interval[0] < found.score.ap < found.ap_interval[1]


def test_each_fold_keeps_the_calibration_of_its_policy() -> None:
    trace = make_trace(80, classes=2, sharpness=(2.0, 1.0, 0.6))
    by_fold: list[dict[str, ExitCalibration]] = []

    def tune(part: Trace) -> ByHash:
        by_fold.append(fit_calibration(part))
        return ByHash(ids_of(part), calibration=by_fold[-1])

    found = crossfit(trace, tune, MACS, resamples=3)
    mixed = {}
    for place, image in enumerate(trace.truth):
        name = trace.header.exit_names[found.choice[place]]
        table = trace.exits[name].detections
        rows = slice(table.offsets[place], table.offsets[place + 1])
        calibration = by_fold[sorted(set(found.folds)).index(found.folds[place])][name]
        arrays = table.of_image(place)
        scores = calibration.scores(table.logits[rows], table.labels[rows])
        mixed[image.image_id] = type(arrays)(arrays.boxes, scores, arrays.labels)
    theirs = reference_metrics(trace.truth, mixed, trace.header.classes)
    assert found.score.ap == pytest.approx(theirs["AP"])
    assert found.score.ap50 == pytest.approx(theirs["AP50"])


def test_another_baseline() -> None:
    trace = make_trace(40)
    static = Static("static", calibrated_matches(trace, "exit2"), 3e8)
    found = crossfit(trace, lambda part: ByHash(ids_of(part)), MACS, baseline=static, resamples=3)
    scorer = Scorer(trace, MACS)
    exit2 = scorer.ap(np.full(40, 1))
    assert found.score.relative_ap_drop == pytest.approx((exit2 - found.score.ap) / exit2)
    assert found.score.speedup == pytest.approx(3e8 / found.score.mean_cost)


def test_folds_are_even_stable_and_keep_groups_together() -> None:
    sizes = np.bincount([fold_of(image_id) for image_id in range(5000)])
    assert sizes.size == 5
    assert sizes.min() > 900
    trace = make_trace(30)
    groups = [f"video{place // 3}" for place in range(30)]
    found = crossfit(trace, lambda part: ByHash(ids_of(part)), MACS, groups=groups, resamples=2)
    assert (found.folds.reshape(10, 3) == found.folds[::3, None]).all()
    assert np.unique(found.folds).size > 1


def test_too_few_images() -> None:
    with pytest.raises(UserError, match="1 images fall into fewer than two of 5 folds"):
        crossfit(make_trace(1), lambda part: ByHash(ids_of(part)), MACS)
