"""The layers between the trunk and an early exit's heads."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cascade_exit.model.anchors import FIRST_STRIDE_PX, LEVELS
from cascade_exit.model.attention import build_attention
from cascade_exit.model.config import ExitConfig
from cascade_exit.model.layers import conv, extra_block, inverted_residual, separable

# Channels of the pyramid's small levels: their maps are tiny, their weights need not be.
PYRAMID_CHANNELS = 128


class Branch(nn.Module):
    """Separable convolutions, attention and a skip on one trunk map.

    Args:
        config: width, depth, kernel, attention, skip.
        channels_in: channels of the trunk map.
        stride_px: stride of the trunk map; a finer map than the anchors' first level is halved first.
    """

    def __init__(self, config: ExitConfig, channels_in: int, stride_px: int) -> None:
        super().__init__()
        layers = []
        for index in range(config.depth):
            stride = FIRST_STRIDE_PX // stride_px if index == 0 and stride_px < FIRST_STRIDE_PX else 1
            layers.append(
                separable(channels_in if index == 0 else config.channels, config.channels, config.kernel, stride)
            )
        self.layers = nn.Sequential(*layers)
        self.attention = build_attention(config.attention, config.channels)
        stride = max(1, FIRST_STRIDE_PX // stride_px)
        self.skip = conv(channels_in, config.channels, stride=stride, activation=None) if config.skip else None

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch channel_out row_out column_out"]:
        """The branch's map, at the stride of the trunk map or of the anchors' first level."""
        y = self.attention(self.layers(x))
        return y if self.skip is None else y + self.skip(x)


class Pyramid(nn.Module):
    """All anchor levels from one branch map.

    A branch map at the first level's size is halved step by step. A coarser one becomes the second level, and
    the first is made of an earlier, finer trunk map plus the upsampled branch (as in Lin et al., Feature Pyramid
    Networks, CVPR 2017). Coarse blocks stand on the second level, where large objects fit into few cells and a block
    costs a quarter; what they find is added to the first level, too.

    Args:
        channels: channels of the branch map.
        lateral_channels: channels of the finer trunk map; none where the branch is at the first level.
        coarse_depth: inverted residuals on the second level.
    """

    def __init__(self, channels: int, lateral_channels: int | None, coarse_depth: int = 0) -> None:
        super().__init__()
        coarse = PYRAMID_CHANNELS if lateral_channels is None else channels
        self.blocks = nn.Sequential(*(inverted_residual(coarse) for _ in range(coarse_depth)))
        self.level_channels = [channels]
        self.lateral = self.top_down = self.smooth = None
        if lateral_channels is not None:
            fine = channels // 2
            self.lateral = conv(lateral_channels, fine, activation=None)
            self.top_down = conv(channels, fine, activation=None)
            self.smooth = separable(fine, fine)
            self.level_channels.insert(0, fine)
        elif coarse_depth:
            self.top_down = conv(coarse, channels, activation=None)
        self.down = nn.ModuleList()
        while len(self.level_channels) < LEVELS:
            self.down.append(extra_block(self.level_channels[-1], PYRAMID_CHANNELS))
            self.level_channels.append(PYRAMID_CHANNELS)

    def forward(self, branch: Tensor, finer: Tensor | None) -> list[Tensor]:
        """Maps of all levels, finest first; `finer` is the trunk map for the lateral connection."""
        down = iter(self.down)
        if self.lateral is None:
            fine, coarse = branch, self.blocks(next(down)(branch))
        else:
            assert finer is not None
            fine, coarse = self.lateral(finer), self.blocks(branch)
        if self.top_down is not None:
            fine = fine + F.interpolate(self.top_down(coarse), size=fine.shape[-2:], mode="nearest")
        if self.smooth is not None:
            fine = self.smooth(fine)
        levels = [fine, coarse]
        for block in down:
            levels.append(block(levels[-1]))
        return levels
