"""What the runtime asks of whatever computes the network."""

from collections.abc import Collection
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from cascade_exit.model import AnchorGrid, ExitOutput, State

Backend = Literal["torch", "onnxruntime", "openvino"]


@runtime_checkable
class Network(Protocol):
    """A cascade that runs stage by stage; `CascadeDetector` is one, `GraphNetwork` the other.

    Attributes:
        exit_names: from shallow to deep; the last is `full`.
        grids: the anchors of each exit.
    """

    exit_names: tuple[str, ...]
    grids: dict[str, AnchorGrid]

    def start(self, images: UInt8[Tensor, "batch 3 row column"], stages: Collection[str] | None = None) -> State:
        """State before the first stage: the pixels that the stages take.

        Args:
            images: RGB at the input size, 0 to 255.
            stages: that will be run; all where none are named.

        Raises:
            ValueError: the images are not uint8, or not of the input's size.
        """
        ...

    def advance(self, name: str, state: State) -> State:
        """Runs the stage that ends at exit `name`."""
        ...

    def answer(self, name: str, state: State) -> tuple[ExitOutput, State]:
        """Answers at exit `name`, whose stage was run; the state holds what the next exit may look at."""
        ...

    def answering(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Exits that must answer so that the wanted exits can, from shallow to deep."""
        ...

    def running(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Stages that must run so that the wanted exits can answer, from shallow to deep."""
        ...

    def __call__(self, images: UInt8[Tensor, "batch 3 row column"]) -> dict[str, ExitOutput]:
        """Answers at every exit, by name, shallow to deep."""
        ...
