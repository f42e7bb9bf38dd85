"""Settings of the network; all of them are stored in every checkpoint."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from torchvision.models.mobilenetv3 import InvertedResidualConfig, _mobilenet_v3_conf

from cascade_exit.data import SMALLEST_PX, InputConfig
from cascade_exit.model.anchors import FIRST_STRIDE_PX, LEVELS
from cascade_exit.model.attention import Attention

Context = Literal["none", "logits", "features"]
Refinement = Literal["fresh", "residual", "averaged"]
FULL = "full"
# The tensor that holds the images at the input's size.
IMAGES = "images"


def own_images(look: str) -> str:
    """The tensor that holds the images as a look sees them."""
    return f"{IMAGES}_{look}"


# A row of a channel table: input, kernel, expanded, output, squeeze-and-excite, "RE" or "HS", stride.
TableRow = tuple[int, int, int, int, bool, Literal["RE", "HS"], int]


@dataclass(frozen=True)
class BackboneConfig:
    """MobileNetV3 trunk (Howard et al., Searching for MobileNetV3, ICCV 2019).

    Attributes:
        name: torchvision's large or small layout.
        width: channel multiplier, rounded to eights as torchvision does.
        table: rows that replace the layout; a convolution to six times its last channels follows them.
        reduced_tail: halves the channels of the last blocks, as torchvision's COCO-trained SSDLite does.
    """

    name: Literal["mobilenet_v3_large", "mobilenet_v3_small"] = "mobilenet_v3_large"
    width: float = 1.0
    table: tuple[TableRow, ...] | None = None
    reduced_tail: bool = False

    def __post_init__(self) -> None:
        if not 0.1 <= self.width <= 4:
            raise ValueError(f"width must be between 0.1 and 4, got {self.width}")
        if self.table is not None and self.width != 1.0:
            raise ValueError("width must stay 1.0 where a channel table is given: the table already says it")
        if self.table is not None and self.reduced_tail:
            raise ValueError("reduced_tail must be false where a channel table is given: the table already says it")
        if self.table is not None:
            _check_table(self.table)

    def blocks(self) -> list[InvertedResidualConfig]:
        """Settings of the blocks between the first and the last convolution, as torchvision takes them."""
        if self.table is None:
            return _mobilenet_v3_conf(self.name, width_mult=self.width, reduced_tail=self.reduced_tail)[0]
        return [InvertedResidualConfig(*row, dilation=1, width_mult=1.0) for row in self.table]

    @property
    def strides_px(self) -> tuple[int, ...]:
        """Stride in input pixels of the map after each of the trunk's `features`."""
        strides = [2]
        for block in self.blocks():
            strides.append(strides[-1] * block.stride)
        return (*strides, strides[-1])


def _check_table(table: tuple[TableRow, ...]) -> None:
    """Refuses a table that would build something else than it says, or nothing."""
    strided = [index for index, row in enumerate(table) if row[6] == 2]
    if any(row[6] not in (1, 2) for row in table) or len(strided) != 4:
        raise ValueError(f"table must have four rows of stride 2, all others 1, got {[row[6] for row in table]}")
    for index, (channels_in, kernel, expanded, channels_out, *_) in enumerate(table):
        # torchvision rounds other widths to eights without a word.
        if any(channels < 8 or channels % 8 for channels in (channels_in, expanded, channels_out)):
            raise ValueError(f"table.{index} must have channels that are multiples of 8, got {table[index]}")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"table.{index} must have an odd kernel, got {kernel}")
        if index and channels_in != table[index - 1][3]:
            raise ValueError(f"table.{index} must take the {table[index - 1][3]} channels before it, got {channels_in}")
    last = strided[-1]
    if table[last][2] == table[last][0]:
        raise ValueError(f"table.{last} must expand its input: SSDLite reads that expansion, got {table[last]}")


@dataclass(frozen=True)
class ExitConfig:
    """One early exit.

    Attributes:
        after: index of the backbone's `features` after which the exit stands.
        channels: width of the branch.
        depth: separable convolutions in the branch.
        kernel: side of their depthwise kernels.
        attention: on the branch's output.
        skip: adds the branch's input to its output.
        pyramid: grows the other anchor levels; without it the exit speaks for its own map only, and all other
            anchors read background.
        coarse_depth: inverted residuals on the pyramid's second level, for what large objects need.
        context: what it takes over from the exit before: nothing, its class logits, its features (of an exit on the
            trunk its branch, of a look its last map of stride 16).
        refinement: "fresh" predicts anew, "residual" adds to the (detached) answer of the exit before, "averaged"
            predicts anew and lets the exit before have a say in its detections' scores (see `average_with_earlier`).
    """

    after: int
    channels: int = 128
    depth: int = 3
    kernel: int = 3
    attention: Attention = "se"
    skip: bool = True
    pyramid: bool = True
    coarse_depth: int = 0
    context: Context = "none"
    refinement: Refinement = "fresh"

    def __post_init__(self) -> None:
        if self.channels < 8 or self.channels % 8:
            raise ValueError(f"channels must be a multiple of 8, got {self.channels}")
        if not 1 <= self.depth <= 8:
            raise ValueError(f"depth must be between 1 and 8, got {self.depth}")
        if self.kernel not in (1, 3, 5, 7):
            raise ValueError(f"kernel must be 1, 3, 5 or 7, got {self.kernel}")
        if not 0 <= self.coarse_depth <= 8:
            raise ValueError(f"coarse_depth must be between 0 and 8, got {self.coarse_depth}")
        if self.coarse_depth and not self.pyramid:
            raise ValueError(f"coarse_depth must be 0 without a pyramid, got {self.coarse_depth}")


@dataclass(frozen=True)
class FullConfig:
    """The last exit: torchvision's SSDLite path, plus what it may take over.

    Attributes:
        context: as of an early exit: what it takes over from the exit before.
        refinement: as of an early exit.
        top_down: gives the two finest levels, where small objects are looked for, what the next coarser one sees (Lin
            et al., Feature Pyramid Networks, CVPR 2017).
    """

    context: Context = "none"
    refinement: Refinement = "fresh"
    top_down: bool = False


@dataclass(frozen=True)
class LookConfig:
    """An early exit before the trunk: SSDLite on the image at a smaller size, with a backbone of its own.

    Attributes:
        size_px: side of the image that it sees: the input, brought down to it.
        backbone: its trunk.
        anchor_scales: as in `ModelConfig`.
        top_down: as in `FullConfig`.
    """

    size_px: int = 160
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    anchor_scales: tuple[float, ...] | None = None
    top_down: bool = False

    def __post_init__(self) -> None:
        if self.size_px < SMALLEST_PX:
            raise ValueError(f"size_px must be at least {SMALLEST_PX}, got {self.size_px}")
        _check_anchor_scales(self.anchor_scales)


def _check_anchor_scales(scales: tuple[float, ...] | None) -> None:
    if scales is None:
        return
    if len(scales) != LEVELS + 1:
        raise ValueError(f"anchor_scales must hold {LEVELS + 1} numbers, got {len(scales)}")
    if not all(0 < scale <= 2 for scale in scales):
        raise ValueError(f"anchor_scales must lie in (0, 2], got {scales}")


@dataclass(frozen=True)
class ModelConfig:
    """The whole detector.

    Attributes:
        input: size, resizing and scaling of its images.
        backbone: the trunk.
        exits: early exits by name, `exit1`, `exit2`, … from shallow to deep; none makes the static detector.
        looks: early exits on a smaller image, before the trunk; the first of `exits` is named after the last of them.
        full: the last exit.
        anchor_scales: anchor side per level as a share of the input (seven numbers); none: SSDLite's.
    """

    input: InputConfig = field(default_factory=InputConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    exits: dict[str, ExitConfig] = field(default_factory=dict)
    looks: dict[str, LookConfig] = field(default_factory=dict)
    full: FullConfig = field(default_factory=FullConfig)
    anchor_scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        self._check_names()
        places = [exit_.after for exit_ in self.exits.values()]
        if places != sorted(set(places)):
            raise ValueError(f"exits must stand one behind the other: 'after' must rise, got {places}")
        self._check_places()
        self._check_links()
        _check_anchor_scales(self.anchor_scales)
        for name, look in self.looks.items():
            if look.size_px > self.input.size_px:
                raise ValueError(
                    f"looks.{name}.size_px must be at most input.size_px ({self.input.size_px}), got {look.size_px}"
                )

    def _check_names(self) -> None:
        wanted = [f"exit{i + 1}" for i in range(len(self.looks) + len(self.exits))]
        for key, given, names in (
            ("looks", self.looks, wanted[: len(self.looks)]),
            ("exits", self.exits, wanted[len(self.looks) :]),
        ):
            if list(given) != names:
                after = f" (looks has {', '.join(self.looks)})" if key == "exits" and self.looks else ""
                raise ValueError(f"{key} must be named {', '.join(names)} in this order{after}, got {', '.join(given)}")

    def _check_places(self) -> None:
        strides = self.backbone.strides_px
        last = len(strides) - 2
        for name, exit_ in self.exits.items():
            if not 0 < exit_.after <= last:
                raise ValueError(f"exits.{name}.after must be between 1 and {last}, got {exit_.after}")
            if strides[exit_.after] < 4:
                raise ValueError(f"exits.{name}.after must stand on a map of stride 4 or more, got {exit_.after}")

    def _check_links(self) -> None:
        """Refuses what an exit cannot take over from the exit before it."""
        before: str | None = None
        exits: dict[str, ExitConfig | FullConfig] = {**self.exits, FULL: self.full}
        answers_all = answers_finest = False
        for name, exit_ in exits.items():
            key = name if name == FULL else f"exits.{name}"
            if before is None:
                self._check_first_link(key, exit_)
            if exit_.refinement == "residual" and not answers_all:
                raise ValueError(f"{key}.refinement must be fresh: {before} has no pyramid, so not all anchors answer")
            if exit_.context == "logits" and not answers_finest:
                raise ValueError(f"{key}.context must not be logits: {before} does not answer at the finest anchors")
            if isinstance(exit_, ExitConfig):
                answers_all = exit_.pyramid or exit_.refinement == "residual"
                answers_finest = answers_all or self.backbone.strides_px[exit_.after] <= FIRST_STRIDE_PX
            before = name

    def _check_first_link(self, key: str, first: ExitConfig | FullConfig) -> None:
        """Refuses what the first exit on the trunk cannot take over from a look, or from nothing."""
        if not self.looks and first.context != "none":
            raise ValueError(f"{key}.context must be none: there is no exit before it")
        why = f"{[*self.looks][-1]} is a look, with anchors of its own" if self.looks else "there is no exit before it"
        if first.context == "logits":
            raise ValueError(f"{key}.context must be none or features: {why}")
        if first.refinement == "residual" or (first.refinement == "averaged" and not self.looks):
            wanted = "fresh or averaged" if self.looks else "fresh"
            raise ValueError(f"{key}.refinement must be {wanted}: {why}")

    @property
    def image_sizes_px(self) -> dict[str, int]:
        """Side of the image that each network sees, by the name of its tensor: `images`, and `images_<look>`."""
        return {IMAGES: self.input.size_px} | {own_images(name): look.size_px for name, look in self.looks.items()}

    @property
    def averaged_with(self) -> dict[str, str]:
        """The exit before, by the name of each exit that lets it have a say in its detections' scores."""
        exits: dict[str, ExitConfig | FullConfig] = {**self.exits, FULL: self.full}
        averaged = {name for name, exit_ in exits.items() if exit_.refinement == "averaged"}
        return {name: before for before, name in pairwise(self.exit_names) if name in averaged}

    @property
    def exit_names(self) -> tuple[str, ...]:
        """All exits from shallow to deep; the last is `full`."""
        return (*self.looks, *self.exits, FULL)
