"""The cascade: one trunk, several exits, each with an answer for every anchor."""

from collections.abc import Collection, Mapping

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from cascade_exit.model.anchors import LEVELS, AnchorGrid
from cascade_exit.model.backbone import Trunk
from cascade_exit.model.branch import Branch, Pyramid
from cascade_exit.model.config import FULL, Context, ExitConfig, FullConfig, ModelConfig
from cascade_exit.model.context import ContextFusion
from cascade_exit.model.head import BACKGROUND_LOGIT, Head, fill_background
from cascade_exit.model.layers import extra_block, init_ssdlite
from cascade_exit.model.output import ExitOutput

# Mean and standard deviation per channel, of images in [0, 1].
SCALING = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
# Everything that later stages need of earlier ones, batch first: it can be indexed to go on with some images only.
State = dict[str, Tensor]
# SSDLite's levels above the trunk.
EXTRA_CHANNELS = (512, 256, 256, 128)


def _scale_gradient(x: Tensor, factor: float) -> Tensor:
    """`x`, whose gradient is multiplied by `factor` on the way back."""
    if factor == 1.0:
        return x
    still = x.detach()
    return still + (x - still) * factor  # adds an exact zero: the same answer whatever the factor


def _context_map(kind: Context, branch: Tensor, output: ExitOutput, cells: int, per_cell: int) -> Tensor:
    """The map that the next exit may look at: the branch, or the class logits of the finest level."""
    if kind == "features":
        return branch
    logits = output.class_logits[:, : cells * cells * per_cell]
    # shape[0], not len(): an exported graph takes batches of any size.
    return logits.reshape(logits.shape[0], cells, cells, -1).permute(0, 3, 1, 2)


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
        self.background_logit = BACKGROUND_LOGIT if config.refinement == "fresh" else 0.0
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
        self.head = Head(channels, grid.per_cell, labels, corrects=config.refinement == "residual")

    def forward(self, expansion: Tensor, last: Tensor, context: Tensor | None) -> ExitOutput:
        """The answer from SSDLite's six maps."""
        if self.fuse is not None:
            assert context is not None
            last = self.fuse(last, context)
        levels = [expansion, last]
        for block in self.extras:
            levels.append(block(levels[-1]))
        return self.head(levels)


class CascadeDetector(nn.Module):
    """A detector that can answer at every exit.

    With no exits, `context=none` and `refinement=fresh` it is torchvision's `ssdlite320_mobilenet_v3_large`.

    Args:
        config: the network.
        classes: number of classes, without background; at least one.

    Attributes:
        exit_names: from shallow to deep; the last is `full`.
        grid: the anchors, shared by all exits.
    """

    def __init__(self, config: ModelConfig, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes must be at least 1, got {classes}")
        self.config, self.classes = config, classes
        self.exit_names = config.exit_names
        self.grid = AnchorGrid(config.input.size_px, config.anchor_scales)
        self.trunk = Trunk(config.backbone)
        # The finer map of a coarse exit: where the first exit stands, else the last map at the anchors' stride.
        places = [exit_.after for exit_ in config.exits.values()]
        fine_places = [place for place in places if self.trunk.strides_px[place] == 16]
        self.lateral_at = fine_places[0] if fine_places else self.trunk.expansion_at - 1
        lateral_channels, labels = self.trunk.channels(self.lateral_at), classes + 1
        self.exits = nn.ModuleDict(
            {
                name: EarlyExit(
                    exit_, self.trunk, lateral_channels, self._context_channels(name, exit_.context), self.grid, labels
                )
                for name, exit_ in config.exits.items()
            }
        )
        self.full = FullExit(
            config.full, self.trunk, self._context_channels(FULL, config.full.context), self.grid, labels
        )

    def _context_channels(self, name: str, kind: Context) -> int | None:
        if kind == "none":
            return None
        if kind == "logits":
            return self.grid.per_cell * (self.classes + 1)
        return self.config.exits[self._before(name)].channels

    def _before(self, name: str) -> str:
        return self.exit_names[self.exit_names.index(name) - 1]

    def _exit_config(self, name: str) -> ExitConfig | FullConfig:
        return self.config.full if name == FULL else self.config.exits[name]

    def normalise(self, images: UInt8[Tensor, "batch 3 row column"]) -> Tensor:
        """Scales images as the configuration says, to the floating point type of the weights."""
        # Constants, not buffers: an average over weights would wear buffers down by rounding.
        like = next(self.parameters())
        mean, std = (like.new_tensor(values).view(3, 1, 1) * 255 for values in SCALING[self.config.input.scaling])
        return (images.to(like.dtype) - mean) / std

    def start(self, images: UInt8[Tensor, "batch 3 row column"]) -> State:
        """State before the first stage: the images, which the stage that reads them scales.

        Raises:
            ValueError: the images are not uint8, or not of the input's size.
        """
        size = self.grid.input_size_px
        if images.dtype != torch.uint8 or images.shape[1:] != (3, size, size):
            raise ValueError(
                f"images must be uint8 [batch, 3, {size}, {size}], got {images.dtype} {list(images.shape)}"
            )
        return {"images": images}

    def advance(self, name: str, state: State) -> State:
        """Runs the stage that ends at exit `name`."""
        index = self.exit_names.index(name)
        start = 0 if index == 0 else self.config.exits[self.exit_names[index - 1]].after + 1
        stop = len(self.trunk) if name == FULL else self.config.exits[name].after + 1
        state = dict(state)
        x = self.normalise(state.pop("images")) if index == 0 else state["trunk"]
        if start <= self.lateral_at < stop:
            x, _ = self.trunk.run(x, start, self.lateral_at + 1)
            state["lateral"], start = x, self.lateral_at + 1
        state["trunk"], expansion = self.trunk.run(x, start, stop)
        if expansion is not None:
            state["expansion"] = expansion
        return state

    def answer(self, name: str, state: State, trunk_gradient: float = 1.0) -> tuple[ExitOutput, State]:
        """Answers at exit `name`, whose stage was run.

        Args:
            name: the exit.
            state: as `advance` left it.
            trunk_gradient: factor on the gradient that this exit sends into the trunk.

        Returns:
            The answer, and the state with what the next exit may look at.
        """
        config, context = self._exit_config(name), state.get("context")
        trunk = _scale_gradient(state["trunk"], trunk_gradient)
        if name == FULL:
            expansion = _scale_gradient(state["expansion"], trunk_gradient)
            output, branch = self.full(expansion, trunk, context), trunk
        else:
            finer = _scale_gradient(state["lateral"], trunk_gradient) if self.exits[name].coarse else None
            output, branch = self.exits[name](trunk, finer, context)
        if config.refinement == "residual":
            # Detached: a deeper exit corrects the shallower one, and must not pull it.
            output = ExitOutput(
                output.class_logits + state["class_logits"].detach(), output.box_deltas + state["box_deltas"].detach()
            )
        return output, self._hand_on(name, state, output, branch)

    def _hand_on(self, name: str, state: State, output: ExitOutput, branch: Tensor) -> State:
        state = {key: value for key, value in state.items() if key not in ("context", "class_logits", "box_deltas")}
        if name == FULL:
            return state
        after = self._exit_config(self.exit_names[self.exit_names.index(name) + 1])
        if after.context != "none":
            state["context"] = _context_map(after.context, branch, output, self.grid.cells[0], self.grid.per_cell)
        if after.refinement == "residual":
            state["class_logits"], state["box_deltas"] = output
        return state

    def answering(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Exits that must answer so that the wanted exits can, from shallow to deep."""
        needed = set(wanted)
        for name in reversed(self.exit_names):
            config = self._exit_config(name)
            if name in needed and (config.context != "none" or config.refinement == "residual"):
                needed.add(self._before(name))
        return tuple(name for name in self.exit_names if name in needed)

    def forward(
        self,
        images: UInt8[Tensor, "batch 3 row column"],
        exits: Collection[str] | None = None,
        trunk_gradient: Mapping[str, float] | None = None,
    ) -> dict[str, ExitOutput]:
        """Answers at every exit.

        Args:
            images: RGB at the input size, 0 to 255.
            exits: only these exits (and what they build on); all where none are named.
            trunk_gradient: factor per exit on the gradient that it sends into the trunk, 1 where not named.

        Returns:
            Answers by exit name, shallow to deep.

        Raises:
            ValueError: an exit is not one of the model's, or the images do not suit it.
        """
        wanted = self.exit_names if exits is None else exits
        if unknown := set(wanted) - set(self.exit_names):
            raise ValueError(f"exits must be among {', '.join(self.exit_names)}, got {', '.join(sorted(unknown))}")
        state, outputs, answering = self.start(images), {}, self.answering(wanted)
        for name in self.exit_names:
            if not any(later in wanted for later in self.exit_names[self.exit_names.index(name) :]):
                break
            state = self.advance(name, state)
            if name in answering:
                outputs[name], state = self.answer(name, state, (trunk_gradient or {}).get(name, 1.0))
        return {name: output for name, output in outputs.items() if name in wanted}
