import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from cascade_exit.model import BackboneConfig
from cascade_exit.model.backbone import Trunk

from .networks import TABLE_075, stir


def by_table() -> MobileNetV3:
    rows = [InvertedResidualConfig(*row, 1, 1.0) for row in TABLE_075]
    return MobileNetV3(rows, last_channel=8)


LAYOUTS = {
    "large": (BackboneConfig(), mobilenet_v3_large),
    "large 0.35": (BackboneConfig(width=0.35), lambda: mobilenet_v3_large(width_mult=0.35)),
    "large 1.25 reduced": (
        BackboneConfig(width=1.25, reduced_tail=True),
        lambda: mobilenet_v3_large(width_mult=1.25, reduced_tail=True),
    ),
    "small": (BackboneConfig("mobilenet_v3_small"), mobilenet_v3_small),
    "small 0.5": (BackboneConfig("mobilenet_v3_small", width=0.5), lambda: mobilenet_v3_small(width_mult=0.5)),
    "table": (BackboneConfig(table=TABLE_075), by_table),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_run_in_pieces_it_is_torchvisions_network(layout):
    config, build = LAYOUTS[layout]
    torch.manual_seed(0)
    features: nn.Sequential = build().features
    stir(features)
    features.eval()
    # SSDLite's epsilon, which is part of the layer and not of the weights.
    trunk = Trunk(config).eval()
    trunk.features.load_state_dict(features.state_dict())
    at = trunk.expansion_at
    seen = []
    features[at].block[0].register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        y, expected, expansions = x, x, []
        for start, stop in ((0, 3), (3, 3), (3, at), (at, at + 1), (at + 1, len(trunk))):
            y, expansion = trunk.run(y, start, stop)
            expansions.append(expansion)
            for block in features[start:stop]:
                expected = block(expected)
            assert y.shape[1] == (trunk.channels(stop - 1))
            torch.testing.assert_close(y, expected)
    assert [expansion is not None for expansion in expansions] == [False, False, False, True, False]
    torch.testing.assert_close(expansions[3], seen[0])
    assert expansions[3].shape == (2, trunk.expansion_channels, 4, 4)
    assert y.shape[-1] == 2


def test_the_expansion_is_the_672_map():
    trunk = Trunk(BackboneConfig())
    assert trunk.expansion_at == 13
    assert trunk.expansion_channels == 672
    assert [trunk.channels(i) for i in (8, 12, 14, 16)] == [80, 112, 160, 960]


def test_table_gives_its_channels():
    trunk = Trunk(BackboneConfig(table=TABLE_075))
    assert [trunk.channels(i + 1) for i in range(15)] == [row[3] for row in TABLE_075]
    assert trunk.channels(16) == 720
    assert trunk.expansion_channels == 528
