"""SSDLite's head: class logits and box deltas for every anchor of every level."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cascade_exit.model.layers import init_ssdlite, prediction_block
from cascade_exit.model.output import ExitOutput

# A level that an exit does not look at reads background at every anchor: softmax 0.9999 at one class.
BACKGROUND_LOGIT = 10.0
# Share of anchors that an untrained head takes for objects (the prior of Lin et al., Focal Loss, ICCV 2017). Hard
# negative mining pushes down a few anchors an image; from an even start it needs most of a short training for the rest.
OBJECT_PRIOR = 0.02


def _per_anchor(level: Tensor, values: int) -> Tensor:
    """[batch, anchors*values, rows, columns] to [batch, rows*columns*anchors, values]."""
    return level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, values)


class Head(nn.Module):
    """Predicts from one map per level.

    Args:
        channels: channels of each level's map.
        anchors_per_cell: anchors of one cell.
        labels: classes and background.
        corrects: its answer is added to another one, so it starts without the object prior, which that one has.
    """

    def __init__(self, channels: Sequence[int], anchors_per_cell: int, labels: int, corrects: bool = False) -> None:
        super().__init__()
        self.labels = labels
        self.classification = nn.ModuleList(prediction_block(c, anchors_per_cell * labels) for c in channels)
        self.regression = nn.ModuleList(prediction_block(c, anchors_per_cell * 4) for c in channels)
        init_ssdlite(self)
        if not corrects:
            self._prefer_background(anchors_per_cell)

    @torch.no_grad()
    def _prefer_background(self, anchors_per_cell: int) -> None:
        """Biases the background logits so that all classes together have the object prior."""
        logit = math.log((self.labels - 1) * (1 - OBJECT_PRIOR) / OBJECT_PRIOR)
        for block in self.classification:
            block[-1].bias.view(anchors_per_cell, self.labels)[:, 0] = logit  # type: ignore[index]

    def forward(self, levels: Sequence[Tensor]) -> ExitOutput:
        """Answers for the levels given, in their order."""
        logits = [_per_anchor(block(x), self.labels) for block, x in zip(self.classification, levels, strict=True)]
        deltas = [_per_anchor(block(x), 4) for block, x in zip(self.regression, levels, strict=True)]
        return ExitOutput(torch.cat(logits, dim=1), torch.cat(deltas, dim=1))


def fill_background(
    output: ExitOutput, anchors: int, first: int, background_logit: float = BACKGROUND_LOGIT
) -> ExitOutput:
    """Extends an answer for some anchors to the whole grid.

    Args:
        output: answer for the anchors from `first` on.
        anchors: anchors of the whole grid.
        first: index of the first anchor that was answered.
        background_logit: logit of background at anchors that were not answered; their other logits are 0.

    Returns:
        An answer for all anchors; those that were not answered read background with zero deltas.
    """
    batch, answered, labels = output.class_logits.shape
    logits = output.class_logits.new_zeros(batch, anchors, labels)
    logits[..., 0] = background_logit
    deltas = output.box_deltas.new_zeros(batch, anchors, 4)
    logits[:, first : first + answered] = output.class_logits
    deltas[:, first : first + answered] = output.box_deltas
    return ExitOutput(logits, deltas)
