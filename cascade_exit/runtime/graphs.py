"""A cascade of exported graphs: each is a function from named tensors of the state to named tensors."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from cascade_exit.model import AnchorGrid, ExitOutput, State

Part = Literal["advance", "answer"]
ANSWER = ("class_logits", "box_deltas")
# Runs a graph on its inputs, in their order, and gives its outputs in theirs.
Engine = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Graph:
    """One graph of an exported network.

    Attributes:
        exit: whose stage it belongs to.
        part: advance runs the trunk up to the exit; answer gives the exit's class logits and box deltas. The last
            exit, where whoever arrives is answered, has both in its answer.
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
        exit_names: from shallow to deep.
        grid: the anchors.
        graphs: in the order in which they run.
        engines: of each graph.

    Attributes:
        exit_names: from shallow to deep.
        grid: the anchors.
    """

    def __init__(
        self, exit_names: tuple[str, ...], grid: AnchorGrid, graphs: Sequence[Graph], engines: Sequence[Engine]
    ) -> None:
        self.exit_names, self.grid = exit_names, grid
        self._graphs = tuple(graphs)
        self._engines = {(graph.exit, graph.part): engine for graph, engine in zip(graphs, engines, strict=True)}
        self._places = {(graph.exit, graph.part): place for place, graph in enumerate(graphs)}

    def start(self, images: UInt8[Tensor, "batch 3 row column"]) -> State:
        """State before the first stage.

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
        """Runs the stage that ends at exit `name`; nothing where its answer's graph does it."""
        return self._run(name, "advance", state)[1] if (name, "advance") in self._places else state

    def answer(self, name: str, state: State) -> tuple[ExitOutput, State]:
        """Answers at exit `name`, whose stage was run."""
        found, state = self._run(name, "answer", state)
        return ExitOutput(*(found[key] for key in ANSWER)), state

    def answering(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Exits that must answer so that the wanted exits can, from shallow to deep."""
        needed = set(wanted)
        last = max((self._places[name, "answer"] for name in needed), default=-1)
        for place in reversed(range(last + 1)):
            graph = self._graphs[place]
            if graph.part == "advance" or graph.exit in needed:
                makers = (self._maker(tensor, place) for tensor in graph.inputs)
                needed |= {maker.exit for maker in makers if maker is not None and maker.part == "answer"}
        return tuple(name for name in self.exit_names if name in needed)

    def __call__(self, images: UInt8[Tensor, "batch 3 row column"]) -> dict[str, ExitOutput]:
        """Answers at every exit, by name, shallow to deep."""
        state, outputs = self.start(images), {}
        for name in self.exit_names:
            outputs[name], state = self.answer(name, self.advance(name, state))
        return outputs

    def _maker(self, tensor: str, place: int) -> Graph | None:
        """The last graph before a place that leaves a tensor in the state; None for what `start` puts there."""
        return next((graph for graph in reversed(self._graphs[:place]) if tensor in graph.outputs), None)

    def _run(self, name: str, part: Part, state: State) -> tuple[State, State]:
        """Outputs of a graph, and the state after it."""
        place = self._places[name, part]
        graph = self._graphs[place]
        arrays = self._engines[name, part]([state[key].numpy() for key in graph.inputs])
        found = {key: torch.from_numpy(array) for key, array in zip(graph.outputs, arrays, strict=True)}
        read_later = {key for later in self._graphs[place + 1 :] for key in later.inputs}
        return found, {key: value for key, value in {**state, **found}.items() if key in read_later}
