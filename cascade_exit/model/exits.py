"""The places where an answer is given: early exits on the trunk, looks at a smaller image, and the last exit."""

from torch import Tensor, nn

from cascade_exit.model.anchors import LEVELS, AnchorGrid
from cascade_exit.model.backbone import Trunk
from cascade_exit.model.branch import Branch, Pyramid
from cascade_exit.model.config import ExitConfig, FullConfig, LookConfig
from cascade_exit.model.context import ContextFusion
from cascade_exit.model.head import BACKGROUND_LOGIT, Head, fill_background
from cascade_exit.model.layers import extra_block, init_ssdlite
from cascade_exit.model.output import ExitOutput

# SSDLite's levels above the trunk.
EXTRA_CHANNELS = (512, 256, 256, 128)
# Of the projections of `top_down`. At full rank they cost a tenth of the detector's MACs, and with no more than the 16
# largest of their trained singular values AP on val was the same (0.220, from 0.221).
TOP_DOWN_RANK = 32


class EarlyExit(nn.Module):
    """Branch, levels and heads of one early exit."""

    def __init__(
        self,
        config: ExitConfig,
        trunk: Trunk,
        lateral_channels: int,
        context_channels: int | None,
        grid: AnchorGrid,
        labels: int,
    ) -> None:
        super().__init__()
        channels, stride_px = trunk.channels(config.after), trunk.strides_px[config.after]
        self.coarse = stride_px > 16
        self.fuse = ContextFusion(context_channels, channels) if context_channels is not None else None
        self.branch = Branch(config, channels, stride_px)
        self.pyramid = None
        level_channels = [config.channels]
        if config.pyramid:
            self.pyramid = Pyramid(config.channels, lateral_channels if self.coarse else None, config.coarse_depth)
            level_channels = self.pyramid.level_channels
        self.head = Head(level_channels, grid.per_cell, labels, corrects=config.refinement == "residual")
        self.anchors = len(grid.boxes)
        # An exit that corrects another leaves the answers of the anchors that it does not look at.
        self.background_logit = 0.0 if config.refinement == "residual" else BACKGROUND_LOGIT
        self.first_anchor = grid.cells[0] ** 2 * grid.per_cell if self.coarse else 0

    def forward(self, trunk_map: Tensor, finer: Tensor | None, context: Tensor | None) -> tuple[ExitOutput, Tensor]:
        """The exit's answer and its branch map."""
        if self.fuse is not None:
            assert context is not None
            trunk_map = self.fuse(trunk_map, context)
        branch = self.branch(trunk_map)
        if self.pyramid is not None:
            return self.head(self.pyramid(branch, finer)), branch
        output = self.head([branch])
        return fill_background(output, self.anchors, self.first_anchor, self.background_logit), branch


class FullExit(nn.Module):
    """The last exit: SSDLite's extra levels and heads on the whole trunk."""

    def __init__(
        self, config: FullConfig, trunk: Trunk, context_channels: int | None, grid: AnchorGrid, labels: int
    ) -> None:
        super().__init__()
        last = trunk.channels(len(trunk) - 1)
        self.fuse = ContextFusion(context_channels, last) if context_channels is not None else None
        self.extras = nn.ModuleList()
        channels = [trunk.expansion_channels, last]
        for out in EXTRA_CHANNELS:
            self.extras.append(extra_block(channels[-1], out))
            channels.append(out)
        init_ssdlite(self.extras)
        assert len(channels) == LEVELS
        # From coarse to fine: the second level sees the third before the first sees it.
        self.top_down = nn.ModuleList(
            [ContextFusion(channels[level + 1], channels[level], TOP_DOWN_RANK) for level in (1, 0)]
            if config.top_down
            else []
        )
        self.head = Head(channels, grid.per_cell, labels, corrects=config.refinement == "residual")

    def forward(self, expansion: Tensor, last: Tensor, context: Tensor | None) -> ExitOutput:
        """The answer from SSDLite's six maps."""
        if self.fuse is not None:
            assert context is not None
            last = self.fuse(last, context)
        levels = [expansion, last]
        for block in self.extras:
            levels.append(block(levels[-1]))
        for level, fuse in zip((1, 0), self.top_down):  # noqa: B905 - none without `top_down`
            levels[level] = fuse(levels[level], levels[level + 1])
        return self.head(levels)


class Look(nn.Module):
    """An early exit on a smaller image: a static detector whose parts carry a static detector's names.

    Args:
        config: its size and its backbone.
        grid: its anchors, in pixels of the cascade's input.
        labels: classes and background.

    Attributes:
        context_channels: of the map that the next exit may take over.
    """

    def __init__(self, config: LookConfig, grid: AnchorGrid, labels: int) -> None:
        super().__init__()
        self.trunk = Trunk(config.backbone)
        self.context_channels = self.trunk.channels(self.trunk.lateral_at)
        self.full = FullExit(FullConfig(top_down=config.top_down), self.trunk, None, grid, labels)
