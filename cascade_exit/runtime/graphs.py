"""A cascade of exported graphs: each is a function from named tensors of the state to named tensors."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from cascade_exit.model import AnchorGrid, ExitOutput, State, images_by_size
from cascade_exit.model.config import IMAGES

Part = Literal["advance", "answer"]
ANSWER = ("class_logits", "box_deltas")
# Runs a graph on its inputs, contiguous and in their order, and gives its outputs in theirs.
Engine = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Graph:
    """One graph of an exported network.

    Attributes:
        exit: whose stage it belongs to.
        part: advance runs the trunk up to the exit; answer gives the exit's class logits and box deltas. Where
            whoever arrives is answered, at a look and at the last exit, answer does both.
        file: its name in the exported folder.
        inputs: tensors of the state that it reads, batch first.
        outputs: tensors that it leaves there, batch first.
    """

    exit: str
    part: Part
    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class GraphNetwork:
    """Runs a cascade from exported graphs, through any engine.

    The state holds what graphs declare, and no longer than a later graph reads it. Nothing is known here of which
    tensors those are, where images enter, or what an exit takes over from another.

    Args:
        grids: the anchors of each exit, from shallow to deep.
        image_sizes_px: side of the square image by the name of its tensor, as in `ModelConfig`.
        graphs: in the order in which they run.
        engines: of each graph.

    Attributes:
        exit_names: from shallow to deep.
        grids: the anchors of each exit.
    """

    def __init__(
        self,
        grids: dict[str, AnchorGrid],
        image_sizes_px: Mapping[str, int],
        graphs: Sequence[Graph],
        engines: Sequence[Engine],
    ) -> None:
        self.exit_names, self.grids, self._image_sizes_px = tuple(grids), grids, image_sizes_px
        self._graphs = tuple(graphs)
        self._engines = {(graph.exit, graph.part): engine for graph, engine in zip(graphs, engines, strict=True)}
        self._places = {(graph.exit, graph.part): place for place, graph in enumerate(graphs)}

    def start(self, images: UInt8[Tensor, "batch 3 row column"], stages: Collection[str] | None = None) -> State:
        """State before the first stage: the pixels that the stages take.

        Args:
            images: RGB at the input size, 0 to 255.
            stages: that will be run; all where none are named.

        Raises:
            ValueError: the images are not uint8, or not of the input's size.
        """
        read = {key for graph in self._graphs if stages is None or graph.exit in stages for key in graph.inputs}
        sizes_px = {key: px for key, px in self._image_sizes_px.items() if key == IMAGES or key in read}
        return images_by_size(images, sizes_px)

    def advance(self, name: str, state: State) -> State:
        """Runs the stage that ends at exit `name`; nothing where its answer's graph does it."""
        return self._run(name, "advance", state)[1] if (name, "advance") in self._places else state

    def answer(self, name: str, state: State) -> tuple[ExitOutput, State]:
        """Answers at exit `name`, whose stage was run."""
        found, state = self._run(name, "answer", state)
        return ExitOutput(*(found[key] for key in ANSWER)), state

    def answering(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Exits that must answer so that the wanted exits can, from shallow to deep."""
        answering = {graph.exit for graph in self._needed(wanted) if graph.part == "answer"}
        return tuple(name for name in self.exit_names if name in answering)

    def running(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Stages that must run so that the wanted exits can answer, from shallow to deep."""
        running = {graph.exit for graph in self._needed(wanted)}
        return tuple(name for name in self.exit_names if name in running)

    def _needed(self, wanted: Collection[str]) -> list[Graph]:
        """Graphs that must run so that the wanted exits can answer."""
        needed: set[int] = set()
        open_places = [self._places[name, "answer"] for name in wanted]
        while open_places:
            place = open_places.pop()
            if place not in needed:
                needed.add(place)
                makers = (self._maker(tensor, place) for tensor in self._graphs[place].inputs)
                open_places += [maker for maker in makers if maker is not None]
        return [self._graphs[place] for place in sorted(needed)]

    def __call__(self, images: UInt8[Tensor, "batch 3 row column"]) -> dict[str, ExitOutput]:
        """Answers at every exit, by name, shallow to deep."""
        state, outputs = self.start(images), {}
        for name in self.exit_names:
            outputs[name], state = self.answer(name, self.advance(name, state))
        return outputs

    def _maker(self, tensor: str, place: int) -> int | None:
        """Place of the last graph before one that leaves a tensor in the state; None for what `start` puts there."""
        return next((before for before in reversed(range(place)) if tensor in self._graphs[before].outputs), None)

    def _run(self, name: str, part: Part, state: State) -> tuple[State, State]:
        """Outputs of a graph, and the state after it."""
        place = self._places[name, part]
        graph = self._graphs[place]
        arrays = self._engines[name, part]([np.ascontiguousarray(state[key].numpy()) for key in graph.inputs])
        found = {key: torch.from_numpy(array) for key, array in zip(graph.outputs, arrays, strict=True)}
        after = {**state, **found}
        return found, {key: value for key, value in after.items() if self._is_read_after(key, place)}

    def _is_read_after(self, tensor: str, place: int) -> bool:
        """Whether a graph after a place reads a tensor of the state there, rather than one that is made anew."""
        readers = (later for later in range(place + 1, len(self._graphs)) if tensor in self._graphs[later].inputs)
        makers = (self._maker(tensor, reader) for reader in readers)
        return any(maker is None or maker <= place for maker in makers)
