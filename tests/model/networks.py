"""Small detectors for the tests: narrow, 96 px, two exits, with statistics that differ from channel to channel."""

from functools import cache

import torch
from torch import Tensor, nn

from cascade_exit.data import InputConfig
from cascade_exit.model import (
    BackboneConfig,
    CascadeDetector,
    ExitConfig,
    ExitOutput,
    FullConfig,
    LookConfig,
    ModelConfig,
)

SIZE_PX = 96
CLASSES = 2
NARROW = BackboneConfig(width=0.35)
# Exit 1 on stride 16, exit 2 on stride 32.
TWO_EXITS = {"exit1": ExitConfig(8, channels=32), "exit2": ExitConfig(14, channels=48)}

# A trunk of TensorFlow's rounding at width 0.75; rows as in `TableRow`.
TABLE_075 = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 32, True, "RE", 2),
    (32, 5, 96, 32, True, "RE", 1),
    (32, 5, 96, 32, True, "RE", 1),
    (32, 3, 192, 64, False, "HS", 2),
    (64, 3, 160, 64, False, "HS", 1),
    (64, 3, 144, 64, False, "HS", 1),
    (64, 3, 144, 64, False, "HS", 1),
    (64, 3, 384, 88, True, "HS", 1),
    (88, 3, 528, 88, True, "HS", 1),
    (88, 5, 528, 120, True, "HS", 2),
    (120, 5, 720, 120, True, "HS", 1),
    (120, 5, 720, 120, True, "HS", 1),
)

# As few blocks as a trunk may have.
SHORT = BackboneConfig(
    table=(
        (16, 3, 16, 16, False, "RE", 2),
        (16, 3, 48, 24, False, "RE", 2),
        (24, 3, 72, 40, True, "HS", 2),
        (40, 3, 120, 48, True, "HS", 2),
    )
)


def stir(model: nn.Module) -> None:
    """Makes batch norm differ from channel to channel and answers from place to place, so that a mix-up shows."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.3, 1.0)
                module.weight.uniform_(0.7, 1.5)
                module.bias.normal_(0, 0.2)


def detector(
    exits: dict[str, ExitConfig] = TWO_EXITS,
    full: FullConfig = FullConfig(),
    backbone: BackboneConfig = NARROW,
    size_px: int = SIZE_PX,
    seed: int = 0,
    looks: dict[str, LookConfig] | None = None,
) -> CascadeDetector:
    torch.manual_seed(seed)
    config = ModelConfig(InputConfig(size_px=size_px), backbone, exits, looks or {}, full)
    model = CascadeDetector(config, CLASSES)
    stir(model)
    return model.eval()


def photos(batch: int = 2, size_px: int = SIZE_PX, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, size_px, size_px), dtype=torch.uint8, generator=generator)


def copy_shared(source: nn.Module, target: nn.Module) -> None:
    """Gives `target` every tensor that `source` has under the same name and shape."""
    own = target.state_dict()
    with torch.no_grad():
        for name, value in source.state_dict().items():
            if name in own and own[name].shape == value.shape:
                own[name].copy_(value)


RESIDUAL = {"exit1": TWO_EXITS["exit1"], "exit2": ExitConfig(14, channels=48, refinement="residual")}


def with_context(kind: str) -> CascadeDetector:
    exits = {"exit1": TWO_EXITS["exit1"], "exit2": ExitConfig(14, channels=48, context=kind)}
    return detector(exits, FullConfig(context=kind))


CHAINED = {
    "exit1": TWO_EXITS["exit1"],
    "exit2": ExitConfig(14, channels=48, context="features", refinement="residual"),
}
# Exit 1 is a look at two thirds of the size, exit 2 stands on the trunk.
LOOK_PX = 64
LOOKS = {"exit1": LookConfig(LOOK_PX, NARROW)}
VARIANTS = {
    "static": ({}, FullConfig()),
    "plain": (TWO_EXITS, FullConfig()),
    "chained": (CHAINED, FullConfig(context="logits", refinement="residual")),
    "early": ({"exit1": ExitConfig(5, channels=16), "exit2": ExitConfig(13, channels=16)}, FullConfig()),
    "three": (
        {**CHAINED, "exit3": ExitConfig(15, channels=16, context="logits", pyramid=False)},
        FullConfig(context="features"),
    ),
    "looks": ({"exit2": ExitConfig(8, channels=16)}, FullConfig(refinement="residual"), NARROW, SIZE_PX, 0, LOOKS),
    # The full exit takes over what the look saw.
    "handed on": ({}, FullConfig(context="features"), NARROW, SIZE_PX, 0, LOOKS),
    # The full exit lets the look have a say in its scores, exit 2 on the trunk likewise.
    "averaged": (
        {"exit2": ExitConfig(8, channels=16, refinement="averaged")},
        FullConfig(refinement="averaged"),
        NARROW,
        SIZE_PX,
        0,
        LOOKS,
    ),
    "top down": ({}, FullConfig(top_down=True)),
    # Little, with everything that an exit can take over from another.
    "short": ({"exit1": ExitConfig(3, channels=16)}, FullConfig(context="features", refinement="residual"), SHORT),
}


@cache  # not to be changed: copy it first
def variant(name: str) -> CascadeDetector:
    model = detector(*VARIANTS[name])
    for module in model.modules():  # context that says something
        if hasattr(module, "project"):
            torch.nn.init.normal_(module.project.weight, std=0.3)
    return model


def same(one: ExitOutput, other: ExitOutput) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def close(one: ExitOutput, other: ExitOutput) -> None:
    # Another batch size may take another convolution algorithm.
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
