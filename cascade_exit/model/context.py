"""What an exit takes over from the exit before it (progressive refinement)."""

import torch.nn.functional as F
from torch import Tensor, nn


class ContextFusion(nn.Module):
    """Adds a projection of the previous exit's map to a trunk map.

    It starts at zero, so that an exit with context begins as the same exit without.

    Args:
        context_channels: channels of the previous exit's map.
        channels: channels of the trunk map.
    """

    def __init__(self, context_channels: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(context_channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """`x` plus the projected context, brought to the size of `x` first."""
        size = (x.shape[-2], x.shape[-1])
        if context.shape[-2:] != size:
            context = F.adaptive_avg_pool2d(context, size)  # pooling repeats cells where x is finer
        return x + self.project(context)
