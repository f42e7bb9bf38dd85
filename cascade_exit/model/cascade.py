"""The cascade: one trunk, several exits, each with an answer for every anchor; before it, looks at a smaller image."""

from collections.abc import Collection, Mapping
from itertools import pairwise

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from cascade_exit.data import shrink_images
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.backbone import Trunk
from cascade_exit.model.config import FULL, IMAGES, Context, ExitConfig, FullConfig, ModelConfig, own_images
from cascade_exit.model.exits import EarlyExit, FullExit, Look
from cascade_exit.model.output import ExitOutput

# Mean and standard deviation per channel, of images in [0, 1].
SCALING = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
# Everything that later stages need of earlier ones, batch first: it can be indexed to go on with some images only.
State = dict[str, Tensor]


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


def exit_grids(config: ModelConfig) -> dict[str, AnchorGrid]:
    """The anchors of each exit, from shallow to deep: one grid for all exits on the trunk, one for each look."""
    size_px = config.input.size_px
    own = AnchorGrid(size_px, config.anchor_scales)
    looks = {name: AnchorGrid(size_px, look.anchor_scales, look.size_px) for name, look in config.looks.items()}
    return dict.fromkeys(config.exit_names, own) | looks


def images_by_size(images: UInt8[Tensor, "batch 3 row column"], sizes_px: Mapping[str, int]) -> State:
    """The pixels that a cascade starts from.

    Args:
        images: RGB at the input size, 0 to 255.
        sizes_px: side of the square image by the name of its tensor; that of `images` is the input's.

    Raises:
        ValueError: the images are not uint8, or not of the input's size.
    """
    size = sizes_px[IMAGES]
    if images.dtype != torch.uint8 or images.shape[1:] != (3, size, size):
        raise ValueError(f"images must be uint8 [batch, 3, {size}, {size}], got {images.dtype} {list(images.shape)}")
    return {name: images if name == IMAGES else shrink_images(images, px) for name, px in sizes_px.items()}


class CascadeDetector(nn.Module):
    """A detector that can answer at every exit.

    With no exits, `context=none` and `refinement=fresh` it is torchvision's `ssdlite320_mobilenet_v3_large`.

    Args:
        config: the network.
        classes: number of classes, without background; at least one.

    Attributes:
        exit_names: from shallow to deep; the last is `full`.
        grid: the anchors of all exits on the trunk.
        grids: the anchors of each exit; those of a look lie in pixels of the input, too.
        looks: the exits on a smaller image, by name.
    """

    def __init__(self, config: ModelConfig, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes must be at least 1, got {classes}")
        self.config, self.classes = config, classes
        self.exit_names = config.exit_names
        self.grids = exit_grids(config)
        self.grid = self.grids[FULL]
        self.trunk = Trunk(config.backbone)
        self.looks = nn.ModuleDict(
            {name: Look(look, self.grids[name], classes + 1) for name, look in config.looks.items()}
        )
        # The finer map of a coarse exit: where the first exit stands, else the last map at the anchors' stride.
        places = [exit_.after for exit_ in config.exits.values()]
        fine_places = [place for place in places if self.trunk.strides_px[place] == 16]
        self.lateral_at = fine_places[0] if fine_places else self.trunk.lateral_at
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
        before = self._before(name)
        if before in self.looks:
            return self._look(before).context_channels
        return self.config.exits[before].channels

    def _before(self, name: str) -> str:
        return self.exit_names[self.exit_names.index(name) - 1]

    def _exit_config(self, name: str) -> ExitConfig | FullConfig:
        return self.config.full if name == FULL else self.config.exits[name]

    def _look(self, name: str) -> Look:
        return self.looks[name]  # type: ignore[return-value]

    def _takes_over(self, name: str) -> ExitConfig | FullConfig | None:
        """The exit that comes after one, and may take something over; none after the last, and a look takes nothing."""
        after = dict(pairwise(self.exit_names)).get(name)
        return None if after is None or after in self.looks else self._exit_config(after)

    @property
    def networks(self) -> dict[str, "CascadeDetector | Look"]:
        """The separate networks, each with a `trunk` and a `full`, by the exit that they end at."""
        return {**self.looks, FULL: self}  # type: ignore[dict-item]

    @property
    def trunks(self) -> list[Trunk]:
        """The trunk of each network."""
        return [network.trunk for network in self.networks.values()]

    def normalise(self, images: UInt8[Tensor, "batch 3 row column"]) -> Tensor:
        """Scales images as the configuration says, to the floating point type of the weights."""
        # Constants, not buffers: nothing that is stored with the weights or averaged like them.
        like = next(self.parameters())
        mean, std = (like.new_tensor(values).view(3, 1, 1) * 255 for values in SCALING[self.config.input.scaling])
        return (images.to(like.dtype) - mean) / std

    def start(self, images: UInt8[Tensor, "batch 3 row column"], stages: Collection[str] | None = None) -> State:
        """State before the first stage: the pixels that the stages take, unscaled.

        Args:
            images: RGB at the input size, 0 to 255.
            stages: that will be run; all where none are named. Looks among the others get no pixels.

        Raises:
            ValueError: the images are not uint8, or not of the input's size.
        """
        looks = self.config.looks.keys() if stages is None else self.config.looks.keys() & set(stages)
        taken = {IMAGES, *map(own_images, looks)}
        sizes_px = self.config.image_sizes_px
        return images_by_size(images, {name: px for name, px in sizes_px.items() if name in taken})

    def advance(self, name: str, state: State) -> State:
        """Runs the stage that ends at exit `name`."""
        state = dict(state)
        if name in self.looks:
            trunk = self._look(name).trunk
            lateral, _ = trunk.run(self.normalise(state.pop(own_images(name))), 0, trunk.expansion_at)
            state["trunk"], expansion = trunk.run(lateral, trunk.expansion_at, len(trunk))
            assert expansion is not None
            return state | {"lateral": lateral, "expansion": expansion}
        start, stop = self.stage(name)
        x = state["trunk"] if start else self.normalise(state.pop(IMAGES))
        if start <= self.lateral_at < stop:
            x, _ = self.trunk.run(x, start, self.lateral_at + 1)
            state["lateral"], start = x, self.lateral_at + 1
        state["trunk"], expansion = self.trunk.run(x, start, stop)
        if expansion is not None:
            state["expansion"] = expansion
        return state

    def stage(self, name: str) -> tuple[int, int]:
        """First and, excluded, last of the trunk's features that lead to an exit on the trunk."""
        stops = {other: exit_.after + 1 for other, exit_ in self.config.exits.items()} | {FULL: len(self.trunk)}
        place = list(stops).index(name)
        return [0, *stops.values()][place], stops[name]

    def answer(self, name: str, state: State, trunk_gradient: float = 1.0) -> tuple[ExitOutput, State]:
        """Answers at exit `name`, whose stage was run.

        Args:
            name: the exit.
            state: as `advance` left it.
            trunk_gradient: factor on the gradient that this exit sends into the trunk; a look has its own, and none.

        Returns:
            The answer, and the state with what the next exit may look at.
        """
        if name in self.looks:
            output, seen = self._look(name).full(state["expansion"], state["trunk"], None), state["lateral"]
            state = {key: value for key, value in state.items() if key not in ("trunk", "lateral", "expansion")}
            return output, self._hand_on(name, state, output, seen)
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
        after = self._takes_over(name)
        if after is None:
            return state
        if after.context != "none":
            state["context"] = _context_map(after.context, branch, output, self.grid.cells[0], self.grid.per_cell)
        if after.refinement == "residual":
            state["class_logits"], state["box_deltas"] = output
        return state

    def answering(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Exits that must answer so that the wanted exits can, from shallow to deep."""
        needed = set(wanted)
        for name in (FULL, *reversed(self.config.exits)):
            config = self._exit_config(name)
            if name in needed and (config.context != "none" or config.refinement == "residual"):
                needed.add(self._before(name))
        return tuple(name for name in self.exit_names if name in needed)

    def running(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Stages that must run so that the wanted exits can answer, from shallow to deep; other looks are passed by."""
        answering = self.answering(wanted)
        deepest = max((self.exit_names.index(name) for name in wanted), default=-1)
        return tuple(name for name in self.exit_names[: deepest + 1] if name in answering or name not in self.looks)

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
        running, answering = self.running(wanted), self.answering(wanted)
        state, outputs = self.start(images, running), {}
        for name in running:
            state = self.advance(name, state)
            if name in answering:
                outputs[name], state = self.answer(name, state, (trunk_gradient or {}).get(name, 1.0))
        return {name: output for name, output in outputs.items() if name in wanted}
