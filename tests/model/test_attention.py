import pytest
import torch
from torch import nn

from cascade_exit.model.attention import CBAM, build_attention


def test_none_changes_nothing():
    attention = build_attention("none", 32)
    x = torch.randn(2, 32, 4, 5)
    assert attention(x) is x
    assert not list(attention.parameters())


def test_se_by_hand():
    torch.manual_seed(0)
    attention = build_attention("se", 128)
    x = torch.randn(2, 128, 4, 5)
    first, second = (layer for layer in attention.modules() if isinstance(layer, nn.Conv2d))
    pooled = x.flatten(2).mean(-1)
    hidden = (pooled @ first.weight[:, :, 0, 0].T + first.bias).clamp(min=0)
    gate = 1 / (1 + torch.exp(-(hidden @ second.weight[:, :, 0, 0].T + second.bias)))
    assert first.out_channels == 8
    torch.testing.assert_close(attention(x), x * gate[:, :, None, None])


def test_cbam_by_hand():
    torch.manual_seed(0)
    attention = build_attention("cbam", 160)
    assert isinstance(attention, CBAM)
    x = torch.randn(2, 160, 5, 4)
    first, _, second = attention.channel
    assert first.out_channels == 10

    def shared(pooled):
        hidden = (pooled @ first.weight[:, :, 0, 0].T + first.bias).clamp(min=0)
        return hidden @ second.weight[:, :, 0, 0].T + second.bias

    with torch.no_grad():
        gate = torch.sigmoid(shared(x.flatten(2).mean(-1)) + shared(x.flatten(2).max(-1).values))
        y = x * gate[:, :, None, None]
        # The spatial gate of one place, from its 7x7 neighbourhood in the mean and the maximum over channels.
        padded = nn.functional.pad(torch.stack([y.mean(1), y.max(1).values], 1), (3, 3, 3, 3))
        kernel, bias = attention.spatial.weight[0], attention.spatial.bias[0]
        expected = torch.empty_like(y)
        for row in range(5):
            for column in range(4):
                near = padded[:, :, row : row + 7, column : column + 7]
                place = torch.sigmoid((near * kernel).sum((1, 2, 3)) + bias)
                expected[:, :, row, column] = y[:, :, row, column] * place[:, None]
        torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize("kind", ["se", "cbam"])
def test_only_ever_damps(kind):
    x = torch.randn(2, 32, 4, 4)
    y = build_attention(kind, 32)(x)
    assert y.shape == x.shape
    assert ((y / x > 0) & (y / x < 1)).all()
