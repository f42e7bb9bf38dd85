import numpy as np
import pytest
import torch

from cascade_exit.trace import Trace
from tests.policies.synthetic import make_trace


def assert_rows_are_those_of(part: Trace, trace: Trace, places: list[int]) -> None:
    assert part.truth == tuple(trace.truth[place] for place in places)
    assert part.difficulties == tuple(trace.difficulties[place] for place in places)
    for name, of_exit in trace.exits.items():
        mine = part.exits[name]
        for row, place in enumerate(places):
            for ours, theirs in zip(
                vars(mine.detections.of_image(row)).values(),
                vars(of_exit.detections.of_image(place)).values(),
                strict=True,
            ):
                assert np.array_equal(ours, theirs)
            for ours, theirs in zip(mine.digest, of_exit.digest, strict=True):
                assert torch.equal(ours[row], theirs[place])
            for field in ("recall", "f1", "false_positives"):
                values = getattr(mine.quality, field)[row], getattr(of_exit.quality, field)[place]
                assert np.array_equal(*values, equal_nan=True)
        assert len(mine.detections.logits) == mine.detections.offsets[-1] == len(mine.detections.scores)


@pytest.mark.parametrize("places", [[], [0], [2, 3, 7], list(range(9))])
def test_a_subset_holds_what_the_trace_holds_of_its_images(places: list[int]) -> None:
    trace = make_trace(9, classes=2, seed=1)
    assert_rows_are_those_of(trace.subset(np.array(places, np.int64)), trace, places)


def test_places_must_ascend() -> None:
    with pytest.raises(ValueError, match="ascending, without repeats"):
        make_trace(3).subset(np.array([1, 0]))
