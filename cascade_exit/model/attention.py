"""Channel and spatial attention for branches."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

Attention = Literal["none", "se", "cbam"]
REDUCTION = 16


class CBAM(nn.Module):
    """Convolutional block attention: channels first, then places (Woo et al., CBAM, ECCV 2018).

    Args:
        channels: channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 8)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        self.spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3)

    def forward(self, x: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch channel row column"]:
        """Rescales the map by both gates."""
        average = self.channel(x.mean(dim=(2, 3), keepdim=True))
        largest = self.channel(x.amax(dim=(2, 3), keepdim=True))
        x = x * torch.sigmoid(average + largest)
        places = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(places))


def build_attention(kind: Attention, channels: int) -> nn.Module:
    """Attention module of that kind; an identity for "none"."""
    if kind == "se":
        return SqueezeExcitation(channels, max(channels // REDUCTION, 8))
    if kind == "cbam":
        return CBAM(channels)
    return nn.Identity()
