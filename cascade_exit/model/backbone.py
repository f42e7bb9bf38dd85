"""The trunk: MobileNetV3's features, run piece by piece."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidual, MobileNetV3

from cascade_exit.model.config import BackboneConfig
from cascade_exit.model.layers import norm_layer


class Trunk(nn.Module):
    """MobileNetV3 features that can be run from one place to another.

    The block that goes from stride 16 to stride 32 first expands its input; SSDLite reads that expansion as its
    first map, so the trunk hands it out.

    Args:
        config: layout, width or channel table.

    Attributes:
        features: torchvision's blocks under torchvision's names.
        strides_px: stride in input pixels of the map after each block.
        expansion_at: index of the block whose expansion is SSDLite's first map.
        lateral_at: index of the block before it: the last map at that map's stride.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        # The classifier is dropped at once, so it is made small; MobileNetV3 is the only public way to these blocks.
        network = MobileNetV3(config.blocks(), last_channel=1, num_classes=1, norm_layer=norm_layer)
        self.features: nn.Sequential = network.features
        self.strides_px = config.strides_px
        self.expansion_at = self.strides_px.index(32)
        self.lateral_at = self.expansion_at - 1

    def __len__(self) -> int:
        return len(self.features)

    def channels(self, index: int) -> int:
        """Channels of the map after `features[index]`."""
        return int(self.features[index].out_channels)  # type: ignore[arg-type]

    @property
    def expansion_channels(self) -> int:
        """Channels of the map that SSDLite reads first."""
        return int(self._expanding_block.block[0].out_channels)

    @property
    def _expanding_block(self) -> InvertedResidual:
        block = self.features[self.expansion_at]
        assert isinstance(block, InvertedResidual)
        return block

    def run(
        self, x: Float[Tensor, "batch channel row column"], start: int, stop: int
    ) -> tuple[Float[Tensor, "batch channel_out row_out column_out"], Tensor | None]:
        """Runs `features[start:stop]`.

        Returns:
            The last map, and the expansion at stride 16 if its block was among those run.
        """
        expansion = None
        for index in range(start, stop):
            if index == self.expansion_at:
                block = self._expanding_block.block
                expansion = block[0](x)
                x = block[1:](expansion)
            else:
                x = self.features[index](x)
        return x, expansion
