"""The few convolution blocks that branches, pyramids and heads are made of."""

from collections.abc import Callable
from functools import partial

from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig
from torchvision.ops.misc import Conv2dNormActivation

# SSDLite's batch norm: more precise statistics, slower running mean (torchvision's ssdlite320).
norm_layer: Callable[..., nn.Module] = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
# SSDLite initialises every convolution outside the backbone like this.
SSDLITE_WEIGHT_STD = 0.03


def conv(
    channels_in: int,
    channels_out: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[..., nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    """Convolution, batch norm, activation; padded so that stride 1 keeps the size."""
    return Conv2dNormActivation(
        channels_in,
        channels_out,
        kernel_size=kernel,
        stride=stride,
        groups=groups,
        norm_layer=norm_layer,
        activation_layer=activation,
    )


def separable(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Depthwise then pointwise convolution, each with batch norm and ReLU6."""
    return nn.Sequential(
        conv(channels_in, channels_in, kernel, stride, groups=channels_in), conv(channels_in, channels_out)
    )


def extra_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """SSDLite's extra level: squeeze to half, depthwise stride 2, expand."""
    half = channels_out // 2
    return nn.Sequential(
        conv(channels_in, half), conv(half, half, kernel=3, stride=2, groups=half), conv(half, channels_out)
    )


def inverted_residual(channels: int) -> InvertedResidual:
    """MobileNetV3's block (Howard et al., ICCV 2019), 5x5, four times expanded, with squeeze-and-excite."""
    config = InvertedResidualConfig(channels, 5, 4 * channels, channels, True, "HS", 1, 1, 1.0)
    return InvertedResidual(config, norm_layer)


def prediction_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """SSDLite's predictor: depthwise 3x3, then a plain 1x1 convolution."""
    return nn.Sequential(
        conv(channels_in, channels_in, kernel=3, groups=channels_in), nn.Conv2d(channels_in, channels_out, 1)
    )


def init_ssdlite(module: nn.Module) -> None:
    """Initialises all convolutions below `module` as SSDLite does: normal weights, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=SSDLITE_WEIGHT_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
