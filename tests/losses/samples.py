"""Random anchors, objects and exit outputs for the tests of this room."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cascade_exit.data.batch import Targets, pad_targets
from cascade_exit.model.output import ExitOutput

SIZE_PX = 320


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    """Boxes of 8 to 200 px, some of which leave the image."""
    centre = torch.rand(count, 2, generator=generator) * SIZE_PX
    half = 4 + torch.rand(count, 2, generator=generator) * 96
    return torch.cat([centre - half, centre + half], dim=1)


def random_targets(counts: Sequence[int], seed: int = 0, classes: int = 3) -> Targets:
    """One image for each count of objects."""
    generator = torch.Generator().manual_seed(seed)
    boxes = [random_boxes(count, generator) for count in counts]
    labels = [torch.randint(1, classes + 1, (count,), generator=generator) for count in counts]
    return pad_targets(boxes, labels, [torch.zeros(count, dtype=torch.bool) for count in counts])


def random_output(
    batch: int, anchors: int, seed: int = 0, labels: int = 4, dtype: torch.dtype = torch.float32
) -> ExitOutput:
    """Leaves with gradient, in [-6, 6] or so."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, anchors, labels, generator=generator)
    deltas = torch.randn(batch, anchors, 4, generator=generator)
    return ExitOutput(logits.to(dtype).requires_grad_(), deltas.to(dtype).requires_grad_())


def clone(output: ExitOutput, dtype: torch.dtype | None = None) -> ExitOutput:
    """The same values as new leaves."""
    return ExitOutput(*(part.detach().clone().to(dtype or part.dtype).requires_grad_() for part in output))


def gradient_size(part: Tensor) -> float:
    """Largest gradient that arrived; 0 where none did."""
    return 0.0 if part.grad is None else float(part.grad.abs().max())
