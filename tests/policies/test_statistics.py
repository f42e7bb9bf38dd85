import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_exit.model import Digest
from cascade_exit.policies.statistics import (
    COMPARISONS,
    STATISTICS,
    agreement,
    check_statistic,
    comparison,
    foreground_count,
    mid_scores,
    statistic,
)
from cascade_exit.runs import UserError

from .test_overlaps import random_digest

NAMES = {
    "mean_confidence",
    "certainty",
    "top_certainty",
    "max_score",
    "top_mean",
    "mid_scores",
    "foreground_count",
    "agreement",
}


def digest_of(*scores: float, boxes: list[list[float]] | None = None, labels: list[int] | None = None) -> Digest:
    """One image, two classes; the anchors' scores for their labels (1 where not given), boxes apart where not given."""
    probability = torch.full((1, len(scores), 3), 1e-12)
    for anchor, score in enumerate(scores):
        probability[0, anchor, labels[anchor] if labels else 1] = score
    probability[..., 0] = 1 - probability[..., 1:].sum(-1)
    apart = [[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(len(scores))]
    return Digest(torch.tensor([boxes or apart]).float(), probability.log(), torch.tensor([0.9]), torch.tensor([0.25]))


@pytest.fixture
def registry() -> Iterator[None]:
    before, comparing = dict(STATISTICS), set(COMPARISONS)
    yield
    STATISTICS.clear()
    STATISTICS.update(before)
    COMPARISONS.clear()
    COMPARISONS.update(comparing)


def value(name: str, digest: Digest, previous: Digest | None = None) -> float:
    return float(STATISTICS[name](digest, previous))


def test_the_promised_statistics_are_there() -> None:
    assert set(STATISTICS) >= NAMES
    assert sorted(COMPARISONS) == ["agreement"]


def test_by_hand() -> None:
    digest = digest_of(0.9, 0.8, 0.3, 0.2, 0.01)
    assert value("mean_confidence", digest) == pytest.approx(0.9)
    assert value("certainty", digest) == pytest.approx(0.75)
    # Binary entropies of the five scores, in units of that of three equal labels (the third label has none of it).
    entropies = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (0.9, 0.8, 0.3, 0.2, 0.01)]
    assert value("top_certainty", digest) == pytest.approx(1 - sum(entropies) / 5 / math.log(3), abs=1e-6)
    assert value("max_score", digest) == pytest.approx(0.9)
    assert value("top_mean", digest) == pytest.approx((0.9 + 0.8 + 0.3 + 0.2 + 0.01) / 5, abs=1e-5)
    assert value("mid_scores", digest) == pytest.approx(-0.5, abs=1e-5)
    assert value("foreground_count", digest) == pytest.approx(-2.5, abs=1e-5)


def test_top_mean_is_of_the_ten_best() -> None:
    assert value("top_mean", digest_of(*[0.6] * 10, *[0.1] * 20)) == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("name", sorted(NAMES))
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), images=st.integers(1, 5))
def test_a_row_does_not_depend_on_its_batch(name: str, seed: int, images: int) -> None:
    digest, previous = random_digest(seed, images), random_digest(seed + 1, images)
    together = STATISTICS[name](digest, previous)
    assert together.shape == (images,)
    for place in range(images):
        row = slice(place, place + 1)
        alone = STATISTICS[name](digest.of(row), previous.of(row))
        torch.testing.assert_close(together[row], alone, rtol=1e-6, atol=1e-6)


def test_steps_do_not_show() -> None:
    digest, previous = random_digest(3, images=300), random_digest(4, images=300)
    alone = [agreement(digest.of(slice(i, i + 1)), previous.of(slice(i, i + 1))) for i in (0, 127, 128, 256, 299)]
    torch.testing.assert_close(agreement(digest, previous)[[0, 127, 128, 256, 299]], torch.cat(alone))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_images_have_no_values(name: str) -> None:
    digest = random_digest(0).of(slice(0, 0))
    assert STATISTICS[name](digest, digest).shape == (0,)


@pytest.mark.parametrize("name", sorted(NAMES - {"mean_confidence", "certainty"}))
def test_moves_little_where_a_score_does(name: str) -> None:
    for score in (0.1, 0.25, 0.3, 0.35, 0.5, 0.55):
        before, after = (value(name, digest_of(0.9, score + by), digest_of(0.9, 0.3)) for by in (-1e-5, 1e-5))
        assert abs(after - before) < 5e-4


def test_more_undecided_is_less_safe() -> None:
    clear, unclear = digest_of(0.9, 0.02), digest_of(0.9, 0.3)
    assert mid_scores(unclear, None) < mid_scores(clear, None)
    assert foreground_count(unclear, None) < foreground_count(clear, None)


def test_agreement_by_hand() -> None:
    one = digest_of(0.8, boxes=[[0, 0, 10, 10]])
    half = digest_of(0.6, boxes=[[0, 0, 10, 5]])
    assert value("agreement", one, half) == pytest.approx((2 * 0.5 * 0.6 + 0.1) / (1.4 + 0.1), abs=1e-5)


def test_agreement_is_full_with_itself_and_between_empty_answers() -> None:
    digest = random_digest(0, images=8)
    torch.testing.assert_close(agreement(digest, digest), torch.ones(8))
    assert value("agreement", digest_of(0.01), digest_of(0.02, boxes=[[200, 200, 220, 220]])) == 1


def test_agreement_is_low_between_a_box_and_none() -> None:
    assert value("agreement", digest_of(0.9), digest_of(0.01)) == pytest.approx(0.1, abs=1e-5)


def test_agreement_knows_classes() -> None:
    one, other = digest_of(0.9, labels=[1]), digest_of(0.9, labels=[2])
    assert value("agreement", one, one) == pytest.approx(1)
    assert value("agreement", one, other) < 0.1


def test_agreement_does_not_care_for_duplicates() -> None:
    far = [100.0, 100.0, 110.0, 110.0]
    alone = digest_of(0.9, boxes=[[0, 0, 10, 10]])
    double = digest_of(0.9, 0.9, boxes=[[0, 0, 10, 10], [0, 0, 10, 9.5]])
    assert value("agreement", alone, double) == pytest.approx(1)
    assert value("agreement", alone, digest_of(0.9, 0.9, boxes=[[0, 0, 10, 10], far])) < 0.75


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_agreement_is_symmetric_and_bounded(seed: int) -> None:
    one, two = random_digest(seed), random_digest(seed + 1)
    torch.testing.assert_close(agreement(one, two), agreement(two, one))
    assert ((agreement(one, two) >= 0) & (agreement(one, two) <= 1 + 1e-6)).all()


def test_agreement_without_a_previous_exit_is_refused() -> None:
    with pytest.raises(UserError, match="agreement needs the previous exit's answer"):
        agreement(digest_of(0.9), None)


def test_no_number_stays_no_number() -> None:
    digest = digest_of(0.9)
    broken = digest.replaced(logits=digest.logits * math.nan)
    assert all(math.isnan(value(name, broken)) for name in ("max_score", "top_mean", "mid_scores", "foreground_count"))


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got 'max_scores' \(did you mean 'max_score'\?\)"):
        check_statistic("max_scores")


@pytest.mark.usefixtures("registry")
def test_a_name_is_given_once() -> None:
    @statistic
    def nothing(digest: Digest, previous: Digest | None) -> torch.Tensor:
        return digest.mean_entropy * 0

    @comparison
    def drop(digest: Digest, previous: Digest) -> torch.Tensor:
        return digest.mean_entropy - previous.mean_entropy

    assert value("nothing", digest_of(0.5)) == 0
    assert value("drop", digest_of(0.5), digest_of(0.5)) == 0
    assert "drop" in COMPARISONS
    with pytest.raises(ValueError, match="statistic nothing is already there"):
        statistic(nothing)
