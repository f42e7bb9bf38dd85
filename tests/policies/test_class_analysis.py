"""Figures class by class, against the same worked out on the class and its images alone."""

from dataclasses import replace

import numpy as np
import pytest

from cascade_exit.evaluation import Matches, average_precision, percentile_interval, resampled_weights
from cascade_exit.policies.class_analysis import Analysed, analyse_classes
from cascade_exit.policies.pooling import calibrated_matches
from cascade_exit.policies.reporting import Answers, Figures
from cascade_exit.policies.scoring import Scorer
from cascade_exit.trace import Trace
from tests.evaluation.reference import reference_metrics

from .synthetic import MACS, make_trace

EXITS = tuple(MACS)
CLASSES = ("thing1", "thing2", "thing3")


def analysed(trace: Trace, choice: np.ndarray, resamples: int = 0) -> Analysed:
    scorer = Scorer(trace, MACS)
    exits = dict(zip(EXITS, scorer.matches, strict=True))
    groups = tuple(str(place // 2) for place in range(len(trace)))
    return Analysed(exits, groups, resamples, Answers(scorer.mixture.choose(choice), choice, scorer.costs))


def detections(trace: Trace, choice: np.ndarray) -> dict:
    return {
        image.image_id: trace.exits[EXITS[index]].detections.of_image(place)
        for place, (image, index) in enumerate(zip(trace.truth, choice, strict=True))
    }


def per_class(trace: Trace, choice: np.ndarray) -> dict[str, float]:
    return reference_metrics(trace.truth, detections(trace, choice), trace.header.classes)["per_class"]


def alone(matches: Matches, label: int) -> Matches:
    return replace(matches, class_names=(f"thing{label}",), classes=(matches.classes[label - 1],))


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace(90, classes=3, crowd=0.1)


@pytest.fixture(scope="module")
def choice() -> np.ndarray:
    return np.arange(90) * 7 % 3


@pytest.fixture(scope="module")
def figures(trace: Trace, choice: np.ndarray) -> Figures:
    return analyse_classes(analysed(trace, choice, 60))


def test_aps_and_differences(trace: Trace, choice: np.ndarray, figures: Figures) -> None:
    by_exit = {name: per_class(trace, np.full(90, place)) for place, name in enumerate(EXITS)}
    of_policy = per_class(trace, choice)
    assert list(figures["classes"]) == list(CLASSES)
    for name, found in figures["classes"].items():
        for exit_name in EXITS:
            assert found["exits"][exit_name]["AP"] == pytest.approx(by_exit[exit_name][name], abs=1e-9)
        assert found["policy"]["AP"] == pytest.approx(of_policy[name], abs=1e-9)
        assert found["gain"].keys() == {"exit1", "exit2"}
        assert found["gain"]["exit1"] == pytest.approx(by_exit["full"][name] - by_exit["exit1"][name], abs=1e-9)
        assert found["drop"] == {"full": pytest.approx(1 - of_policy[name] / by_exit["full"][name], abs=1e-9)}
    spread, drops = figures["class_drop"]["full"], [found["drop"]["full"] for found in figures["classes"].values()]
    assert (spread["classes"], spread["min"], spread["median"], spread["max"]) == (3, *sorted(drops))
    assert spread["std"] == pytest.approx(np.std(drops, ddof=1))
    assert spread["std_by_chance"] > 0


def test_who_leaves_and_what_it_misses(trace: Trace, choice: np.ndarray, figures: Figures) -> None:
    left = np.flatnonzero(choice == 0)
    part = trace.subset(left)
    of_exit, of_full = per_class(part, np.zeros(left.size, int)), per_class(part, np.full(left.size, 2))
    for label, name in enumerate(CLASSES, start=1):
        found = figures["classes"][name]
        holds = np.array([bool((~image.crowd & (image.labels == label)).any()) for image in trace.truth])
        assert found["images"] == holds.sum()
        assert found["boxes"] == sum(int((~image.crowd & (image.labels == label)).sum()) for image in trace.truth)
        assert found["exit_rates"]["exit1"] == pytest.approx((choice[holds] == 0).mean())
        assert found["early"] == pytest.approx((choice[holds] < 2).mean())
        assert found["gain_where_left"]["exit1"] == pytest.approx(of_full[name] - of_exit[name], abs=1e-9)


def test_intervals_are_paired_and_resample_groups(trace: Trace, choice: np.ndarray, figures: Figures) -> None:
    mixed, full = analysed(trace, choice).answers.matches, calibrated_matches(trace, "full")
    groups = [str(place // 2) for place in range(90)]
    holds = np.array([bool((~image.crowd & (image.labels == 2)).any()) for image in trace.truth])
    drops, shares = [], []
    for weights in resampled_weights(90, 60, groups=groups):
        own, reference = (average_precision(alone(side, 2), weights) for side in (mixed, full))
        drops.append(1 - own / reference)
        shares.append((weights * holds * (choice < 2)).sum() / (weights * holds).sum())
    intervals = figures["classes"]["thing2"]["intervals"]
    assert intervals["drop.full"] == pytest.approx(percentile_interval(np.array(drops)), abs=1e-9)
    assert intervals["early"] == pytest.approx(percentile_interval(np.array(shares)), abs=1e-12)


def test_a_baseline_is_compared_with_too(trace: Trace, choice: np.ndarray) -> None:
    baseline = calibrated_matches(trace, "exit2")
    figures = analyse_classes(replace(analysed(trace, choice), baseline=baseline))
    of_exit2, of_policy = per_class(trace, np.ones(90, int)), per_class(trace, choice)
    found = figures["classes"]["thing3"]
    assert found["baseline"]["AP"] == pytest.approx(of_exit2["thing3"], abs=1e-9)
    assert found["drop"]["baseline"] == pytest.approx(1 - of_policy["thing3"] / of_exit2["thing3"], abs=1e-9)
    assert figures["class_drop"].keys() == {"full", "baseline"}
    assert "intervals" not in found
    assert "class_claims" not in figures


def test_without_a_policy_only_exits_are_compared(trace: Trace, choice: np.ndarray) -> None:
    figures = analyse_classes(replace(analysed(trace, choice, 20), answers=None))
    assert figures.keys() == {"classes", "class_claims"}
    assert figures["class_claims"].keys() == {"gain"}
    assert figures["classes"]["thing1"].keys() == {"boxes", "images", "few", "exits", "gain", "intervals"}


def test_claims_are_made_where_the_data_say_so() -> None:
    trace = make_trace(300, classes=3, hard=0.0, empty=0.0)
    first = np.array([image.labels[0] for image in trace.truth])
    choice = np.where(first == 1, 0, 2)
    figures = analyse_classes(analysed(trace, choice, 200))
    early = figures["class_claims"]["early"]
    assert early["above"] == ["thing1"]
    assert set(early["below"]) == {"thing2", "thing3"}
    assert early["average"] == pytest.approx((choice == 0).mean())
    # Full sees more of every class than exit 1 does; who leaves at exit 1 pays for it.
    assert set(figures["class_claims"]["gain"]["exit1"]["above"]) == set(CLASSES)
    assert "thing1" in figures["class_claims"]["drop"]["above"]
    assert figures["class_claims"]["drop"]["below"] == []


def test_nothing_is_claimed_of_a_class_with_few_boxes() -> None:
    trace = make_trace(200, classes=2, hard=0.0, empty=0.0)
    kept = [image for image in trace.truth if (image.labels == 1).all()]
    rare = [image for image in trace.truth if (image.labels == 2).all()][:8]
    places = np.flatnonzero([any(image is one for one in (*kept, *rare)) for image in trace.truth])
    part = trace.subset(places)
    choice = np.where([image.labels[0] == 2 for image in part.truth], 0, np.arange(len(part)) % 3)
    figures = analyse_classes(analysed(part, choice, 100))
    assert [found["few"] for found in figures["classes"].values()] == [False, True]
    assert figures["classes"]["thing2"]["early"] == 1
    claims = figures["class_claims"]
    assert not any("thing2" in claims["early"][side] for side in ("above", "below"))
    assert "class_drop" not in figures  # one class has no spread


def test_many_boxes_in_few_groups_are_few(trace: Trace, choice: np.ndarray) -> None:
    """Ninety images of nine videos tell no more than nine."""
    one = analysed(trace, choice)
    assert not any(found["few"] for found in analyse_classes(one)["classes"].values())
    videos = replace(one, groups=tuple(str(place // 10) for place in range(len(trace))))
    assert all(found["few"] for found in analyse_classes(videos)["classes"].values())
