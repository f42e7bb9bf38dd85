import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from cascade_exit.model import AnchorGrid
from cascade_exit.model.boxes import decode_boxes, encode_boxes

CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
ANCHORS = AnchorGrid(96).boxes


def random_boxes(count: int, size_px: float = 96) -> torch.Tensor:
    centre, size = torch.rand(count, 2) * size_px, 1 + torch.rand(count, 2) * size_px
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def test_encodes_as_torchvision():
    torch.manual_seed(0)
    boxes = random_boxes(len(ANCHORS))
    expected = CODER.encode_single(boxes, ANCHORS)
    torch.testing.assert_close(encode_boxes(boxes, ANCHORS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spread", [1.0, 30.0])  # 30: sizes beyond the cap against overflow
def test_decodes_as_torchvision(spread):
    torch.manual_seed(0)
    deltas = torch.randn(len(ANCHORS), 4) * spread
    expected = CODER.decode_single(deltas, ANCHORS)
    torch.testing.assert_close(decode_boxes(deltas, ANCHORS), expected, rtol=1e-5, atol=1e-4)


def test_by_hand():
    anchor, box = torch.tensor([[0.0, 0.0, 10.0, 20.0]]), torch.tensor([[5.0, 10.0, 25.0, 15.0]])
    # Centre (5, 10) to (15, 12.5): one anchor width, an eighth of its height; twice as wide, a quarter as high.
    expected = torch.tensor([[1 / 0.1, 0.125 / 0.1, torch.tensor(2.0).log() / 0.2, torch.tensor(0.25).log() / 0.2]])
    torch.testing.assert_close(encode_boxes(box, anchor), expected)
    torch.testing.assert_close(decode_boxes(expected, anchor), box)


def test_leading_dimensions_broadcast():
    torch.manual_seed(0)
    deltas = torch.randn(2, 3, len(ANCHORS), 4)
    decoded = decode_boxes(deltas, ANCHORS)
    torch.testing.assert_close(decoded[1, 2], decode_boxes(deltas[1, 2], ANCHORS))
    torch.testing.assert_close(encode_boxes(decoded, ANCHORS), deltas, rtol=1e-3, atol=1e-3)
    own_anchors = torch.stack([ANCHORS, ANCHORS.flip(0)])
    torch.testing.assert_close(decode_boxes(deltas[:, 0], own_anchors)[1], decode_boxes(deltas[1, 0], ANCHORS.flip(0)))


coordinate = st.floats(-100, 500, width=32)
side = st.floats(1, 400, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(coordinate, coordinate, side, side), min_size=1, max_size=8), st.integers(0, 200))
def test_round_trip(corners_and_sizes, first):
    boxes = torch.tensor([(x, y, x + width, y + height) for x, y, width, height in corners_and_sizes])
    anchors = ANCHORS[first : first + len(boxes)]
    deltas = encode_boxes(boxes, anchors)
    torch.testing.assert_close(decode_boxes(deltas, anchors), boxes, rtol=1e-4, atol=2e-3)


def test_an_untrained_network_cannot_overflow():
    boxes = decode_boxes(torch.full((len(ANCHORS), 4), 1e4), ANCHORS)
    assert boxes.isfinite().all()
