"""Certificates come from images that nothing was fitted to, and are about the scores that the runner gives."""

import numpy as np
import pytest

from cascade_exit.evaluation import DetectionArrays, image_quality, match_detections
from cascade_exit.policies.certifying import (
    best_risk_candidate,
    calibrated_qualities,
    certify,
    fitting_half,
    risk_candidates,
)
from cascade_exit.policies.operating_points import choose_exits, rule_values
from cascade_exit.policies.pooling import fit_calibration
from cascade_exit.policies.risk import RiskLimit
from cascade_exit.policies.selection import Bench
from cascade_exit.runs import UserError

from .synthetic import MACS, make_trace

NAMES = ("plan", "certainty", "max_score", "per_class")
LIMIT = RiskLimit("recall", 0.15, 0.1)


@pytest.fixture(scope="module")
def halves():
    trace = make_trace(300, sharpness=(2.0, 1.0, 1.0))
    half = fitting_half(trace)
    return Bench.of(trace.subset(np.flatnonzero(half)), MACS, fit_calibration, 4), trace.subset(np.flatnonzero(~half))


def test_halves_are_stable_even_and_keep_groups_together() -> None:
    trace = make_trace(60)
    assert fitting_half(trace).tolist() == fitting_half(trace).tolist()
    assert 15 < fitting_half(trace).sum() < 45
    half = fitting_half(trace, [f"video{place // 6}" for place in range(60)]).reshape(10, 6)
    assert (half == half[:, :1]).all()
    assert 0 < half[:, 0].sum() < 10


def test_certificate_is_of_the_other_half(halves) -> None:
    bench, rest = halves
    candidates, left_out = risk_candidates(NAMES, bench, LIMIT)
    assert list(left_out) == ["plan"]
    best = best_risk_candidate(candidates)
    assert best.point.speedup == max(each.point.speedup for each in candidates.values())
    found = certify(best, bench.tuning, rest, LIMIT)
    certificate = found.control.certificate
    with_objects = [image for image in rest.truth if (~image.crowd).any()]
    assert certificate.images == len(with_objects)
    assert certificate.empty_images == len(rest) - len(with_objects)
    assert certificate.mean_loss <= certificate.bound <= 0.15
    # Rules, temperatures and maps are those of the half that was fitted to.
    assert found.policy.calibration == fit_calibration(bench.tuning.trace)
    assert found.policy.tuned_on["images"] == len(bench.tuning.trace)
    assert found.policy.certificate == certificate.facts()
    thresholds = {name: rule.threshold for name, rule in found.policy.rules.items()}
    assert thresholds == best.path[found.control.step]
    # What the policy really does there: its loss in recall against full, image by image.
    choice = found.policy.choose(rest)
    qualities = calibrated_qualities(rest, found.policy.calibration)
    recall = np.stack([each.recall for each in qualities])
    lost = np.clip(recall[-1] - recall[choice, np.arange(len(rest))], 0, 1)
    assert np.nanmean(lost) <= certificate.mean_loss + 1e-12
    # On record is the most that any step up to this one lost of each image.
    values = rule_values(rest, best.family.rules, found.policy.calibration)
    steps = [choose_exits(rest.header.exit_names, values, best.path[step]) for step in range(found.control.step + 1)]
    along = np.stack([np.clip(recall[-1] - recall[step, np.arange(len(rest))], 0, 1) for step in steps]).max(axis=0)
    assert certificate.mean_loss == pytest.approx(np.nanmean(along))
    rates = np.bincount(choice, minlength=3) / len(rest)
    assert list(found.policy.exit_rates.values()) == pytest.approx(list(rates))
    assert found.score.exit_rates == found.policy.exit_rates


def test_qualities_are_those_of_calibrated_detections(halves) -> None:
    bench, rest = halves
    name, calibration = "exit1", bench.tuning.calibration
    table, answers = rest.exits[name].detections, {}
    for place, image in enumerate(rest.truth):
        rows = slice(table.offsets[place], table.offsets[place + 1])
        scores = np.asarray(calibration[name].scores(table.logits[rows], table.labels[rows]))
        answers[image.image_id] = DetectionArrays(table.boxes[rows], scores, table.labels[rows])
    expected = image_quality(match_detections(rest.truth, answers, rest.header.classes), 0.3)
    found = calibrated_qualities(rest, calibration)[0]
    np.testing.assert_array_equal(found.recall, expected.recall)
    np.testing.assert_array_equal(found.false_positives, expected.false_positives)
    # The exit is twice too sure, so calibration moves detections across the threshold.
    assert (found.recall != rest.exits[name].quality.recall).any()


def test_losses_are_those_of_calibrated_detections(halves) -> None:
    """Of every family's certificate, and of the step that it is fitted to."""
    bench, rest = halves
    calibration, limit = bench.tuning.calibration, RiskLimit("recall", 0.3, 0.1)
    candidates, _ = risk_candidates(NAMES, bench, limit)
    told_apart = 0
    for candidate in candidates.values():
        found = certify(candidate, bench.tuning, rest, limit).control
        for control, trace in ((found, rest), (candidate.control, bench.tuning.trace)):
            values = rule_values(trace, candidate.family.rules, calibration)
            taken = [choose_exits(trace.header.exit_names, values, step) for step in candidate.path[: control.step + 1]]
            right, wrong = (mean_loss(calibrated_qualities(trace, used), taken) for used in (calibration, {}))
            assert control.mean_loss == pytest.approx(right, abs=1e-12)
            told_apart += abs(right - wrong) > 1e-6
    assert told_apart >= 2 * len(candidates) - 1


def mean_loss(qualities, choices) -> float:
    """Mean over the images with objects of the most recall that any of the choices loses."""
    recall = np.stack([each.recall for each in qualities])
    images = np.arange(recall.shape[1])
    return float(np.nanmean(np.max([np.clip(recall[-1] - recall[one, images], 0, 1) for one in choices], axis=0)))


def test_too_few_images_give_no_policy_but_their_number() -> None:
    trace = make_trace(60)
    half = fitting_half(trace)
    bench = Bench.of(trace.subset(np.flatnonzero(half)), MACS, fit_calibration, 4)
    limit = RiskLimit("recall", 0.03, 0.1)
    candidates, _ = risk_candidates(["certainty"], bench, limit)
    found = certify(candidates["certainty"], bench.tuning, trace.subset(np.flatnonzero(~half)), limit)
    assert (found.policy, found.score, found.control.certificate) == (None, None, None)
    assert found.control.reason.startswith("risk: no certificate for a mean recall loss of at most 0.03 from ")
    assert found.control.images_needed is None or found.control.images_needed > 60


def test_the_plan_s_thresholds_are_no_path(halves) -> None:
    with pytest.raises(UserError, match="risk: no family can be certified"):
        risk_candidates(["plan"], halves[0], LIMIT)
