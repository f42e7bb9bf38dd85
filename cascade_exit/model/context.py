"""What a map takes over from another: from the exit before (progressive refinement), or from a coarser level."""

import torch.nn.functional as F
from torch import Tensor, nn


class ContextFusion(nn.Module):
    """Adds a projection of another map to a map.

    It starts at zero, so that an exit with context begins as the same exit without.

    Args:
        context_channels: channels of the other map.
        channels: channels of the map that is added to.
        rank: channels in between, for a projection of little cost; none: straight from one map to the other.
    """

    def __init__(self, context_channels: int, channels: int, rank: int | None = None) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(context_channels, rank, 1, bias=False) if rank else nn.Identity()
        self.project = nn.Conv2d(rank or context_channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """`x` plus the projected context, brought to the size of `x`."""
        # Projected where there are fewer cells: the same, since both steps are linear and one works cell by cell.
        size = (x.shape[-2], x.shape[-1])
        if context.shape[-1] > size[-1]:
            context = F.adaptive_avg_pool2d(context, size)
        projected = self.project(self.narrow(context))
        if context.shape[-1] < size[-1]:
            projected = F.interpolate(projected, size=size, mode="nearest")
        return x + projected
