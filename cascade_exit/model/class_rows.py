"""Class heads of one list of classes as those of another: rows are moved by the name of their class."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

# The layer of a head whose output channels are one logit per anchor of a cell and label.
CLASS_LAYER = re.compile(r"(?:.*\.)?head\.classification\.\d+\.1\.(?:weight|bias)")


def rows_by_class(
    state: Mapping[str, Tensor], classes: Sequence[str], own: Mapping[str, Tensor], own_classes: Sequence[str]
) -> dict[str, Tensor]:
    """Gives weights the class rows that a model of other classes needs.

    Background and classes of the same name keep their rows. A class that the weights do not know is set against
    background as it is in the model: its row is the weights' background row plus what the model's own row differs from
    the model's own background row. So an untrained model's share of objects stays what it was made to be.

    Args:
        state: weights by the detector's names.
        classes: what their labels mean, label 1 first.
        own: the model's state dict.
        own_classes: what its labels mean.

    Returns:
        The weights with the rows of their class layers moved; layers that are shaped otherwise stay as they are.
    """
    moved = dict(state)
    for name in filter(CLASS_LAYER.fullmatch, own.keys() & state.keys()):
        here, there = _by_label(own[name], own_classes), _by_label(state[name], classes)
        if here is None or there is None or here[:, 0].shape != there[:, 0].shape:
            continue
        there = there.to(here)
        rows = here - here[:, :1] + there[:, :1]
        rows[:, 0] = there[:, 0]
        for row, class_name in enumerate(own_classes, start=1):
            if class_name in classes:
                rows[:, row] = there[:, classes.index(class_name) + 1]
        moved[name] = rows.flatten(0, 1)
    return moved


def _by_label(rows: Tensor, classes: Sequence[str]) -> Tensor | None:
    """[anchor*label …] as [anchor label …]; none where the rows cannot be those of these classes."""
    labels = len(classes) + 1
    return None if len(rows) % labels else rows.unflatten(0, (-1, labels))
