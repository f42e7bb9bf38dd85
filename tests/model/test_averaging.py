"""Scores that an earlier exit has a say in: closed forms, and both sides of every edge."""

import pytest
import torch
from torch import Tensor

from cascade_exit.data import InputConfig
from cascade_exit.model import ExitOutput, FullConfig, decode_exits, decode_kept, make_digest
from cascade_exit.model.averaging import EARLIER_SHARE, FULL_SAY_IOU, NO_SAY_IOU, average_with_earlier
from tests.model.networks import LOOKS, SIZE_PX, detector, photos

BOX = torch.tensor([[10.0, 10.0, 30.0, 30.0]])


def logits_of(*probabilities: list[float]) -> Tensor:
    return torch.tensor(probabilities).log()


OWN = [0.2, 0.7, 0.1]
SAYS = [0.5, 0.4, 0.1]


def wide(iou: float) -> Tensor:
    """A box whose overlap with BOX is `iou`: as high, and wider."""
    return torch.tensor([[10.0, 10.0, 10 + 20 / iou, 30.0]])


@pytest.mark.parametrize(
    ("iou", "say"),
    [(1.0, 1.0), (FULL_SAY_IOU, 1.0), ((NO_SAY_IOU + FULL_SAY_IOU) / 2, 0.5), (NO_SAY_IOU, 0.0), (0.1, 0.0)],
)
def test_the_score_is_the_average_as_far_as_the_boxes_agree(iou, say):
    scores, logits = average_with_earlier(BOX, logits_of(OWN), torch.tensor([1]), wide(iou), logits_of(SAYS))
    earlier = torch.tensor([1 - say, 0, 0]) + say * torch.tensor(SAYS)
    expected = (1 - EARLIER_SHARE) * torch.tensor(OWN) + EARLIER_SHARE * earlier
    torch.testing.assert_close(logits.softmax(-1)[0], expected, rtol=0, atol=1e-5)
    assert scores[0] == pytest.approx(expected[1].item(), abs=1e-5)


def test_the_anchor_that_supports_the_label_most_is_asked():
    """One agrees better and says less; one says more of another label; one is elsewhere."""
    boxes = torch.cat([wide(1.0), wide(0.84), wide(0.95), BOX + 100])
    said = logits_of([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [0.01, 0.98, 0.01])
    labels = torch.tensor([1, 2])
    scores, _ = average_with_earlier(BOX.repeat(2, 1), logits_of(OWN, OWN), labels, boxes, said)
    say = (0.84 - NO_SAY_IOU) / (FULL_SAY_IOU - NO_SAY_IOU)
    expected = [0.7 * (1 - EARLIER_SHARE) + 0.8 * say * EARLIER_SHARE, 0.1 * (1 - EARLIER_SHARE) + 0.9 * EARLIER_SHARE]
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_no_detections():
    none = torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    scores, logits = average_with_earlier(*none, BOX, logits_of(SAYS))
    assert scores.shape == (0,)
    assert logits.shape == (0, 3)


AVERAGED = FullConfig(refinement="averaged")


def test_an_averaged_exit_has_the_fresh_ones_boxes_with_other_scores_in_their_order():
    model, images, sizes = detector({}, AVERAGED, looks=LOOKS), photos(3), torch.tensor([[50, 70]] * 3)
    outputs, input_config = model(images), InputConfig(SIZE_PX)
    assert model.config.averaged_with == {"full": "exit1"}
    fresh = decode_kept(outputs["full"], model.grid, input_config, sizes)
    earlier = make_digest(outputs["exit1"], model.grids["exit1"])
    averaged = decode_kept(outputs["full"], model.grid, input_config, sizes, earlier=earlier)
    scale = torch.tensor([70, 50, 70, 50]) / SIZE_PX
    for image, (before, after) in enumerate(zip(fresh, averaged, strict=True)):
        assert (after.detections.scores.diff() <= 0).all()
        scores, _ = average_with_earlier(
            before.detections.boxes / scale,
            before.logits,
            before.detections.labels,
            earlier.boxes[image],
            earlier.logits[image],
        )
        order = scores.sort(descending=True).indices
        torch.testing.assert_close(after.detections.scores, scores[order], rtol=0, atol=1e-4)
        rows = {tuple(row) for row in torch.column_stack([before.detections.boxes, before.detections.labels]).tolist()}
        assert rows == {
            tuple(row) for row in torch.column_stack([after.detections.boxes, after.detections.labels]).tolist()
        }
    every = decode_exits(outputs, model.grids, model.config, sizes)
    assert all(
        torch.equal(one.scores, kept.detections.scores) for one, kept in zip(every["full"], averaged, strict=True)
    )
    alone = decode_kept(outputs["exit1"], model.grids["exit1"], input_config, sizes)
    assert all(torch.equal(one.scores, kept.detections.scores) for one, kept in zip(every["exit1"], alone, strict=True))


def test_an_exit_that_says_the_same_changes_nothing_that_counts():
    """Averaged with itself, a detection keeps the score of the anchor that it came from, or a better one's."""
    model, images, sizes = detector({}), photos(2), torch.tensor([[SIZE_PX, SIZE_PX]] * 2)
    output = ExitOutput(*model(images)["full"])
    own = make_digest(output, model.grid)
    fresh = decode_kept(output, model.grid, model.config.input, sizes)
    averaged = decode_kept(output, model.grid, model.config.input, sizes, earlier=own)
    for before, after in zip(fresh, averaged, strict=True):
        best_before, best_after = before.detections.scores[0], after.detections.scores[0]
        torch.testing.assert_close(best_after, best_before)


def test_boxes_without_area_agree_with_none():
    # Both lie on the image's edge, as boxes do that were predicted beyond it: their overlap is 0 / 0.
    edge = torch.tensor([[0.0, 10.0, 0.0, 30.0]])
    logits, labels = torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([1])
    scores, averaged = average_with_earlier(edge, logits, labels, edge, torch.tensor([[0.0, 9.0, 0.0]]))
    background = torch.tensor([1.0, 0.0, 0.0])
    expected = 0.7 * logits[0].softmax(0) + 0.3 * background
    torch.testing.assert_close(averaged[0].softmax(0), expected)
    torch.testing.assert_close(scores, expected[1:2])
