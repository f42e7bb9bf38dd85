"""Starting weights: torchvision's names and ours, one to one; and taking from a checkpoint what fits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cascade_exit.model.backbone import Trunk
from cascade_exit.runs import UserError

StateDict = dict[str, Tensor]


# Name prefixes of the full path, ours and torchvision's; the trunk's follow from indices.
PREFIXES = [
    ("full.extras.", "backbone.extra."),
    ("full.head.classification.", "head.classification_head.module_list."),
    ("full.head.regression.", "head.regression_head.module_list."),
]


def to_torchvision(state: Mapping[str, Tensor], trunk: Trunk) -> StateDict:
    """Renames the static detector's weights to those of `ssdlite320_mobilenet_v3_large`.

    Args:
        state: a state dict of `CascadeDetector`; entries of early exits are left out.
        trunk: its trunk (says which block is cut in two by SSDLite).
    """
    at, renamed = trunk.expansion_at, {}
    for name, value in state.items():
        if match := re.match(r"trunk\.features\.(\d+)\.(.*)", name):
            index, rest = int(match[1]), match[2]
            if index < at:
                target = f"backbone.features.0.{index}.{rest}"
            elif index > at:
                target = f"backbone.features.1.{index - at}.{rest}"
            else:
                part, rest = rest.removeprefix("block.").split(".", 1)
                # SSDLite cuts this block after its expansion.
                target = f"backbone.features.0.{at}.{rest}" if part == "0" else f"backbone.features.1.0.{part}.{rest}"
            renamed[target] = value
            continue
        for ours, theirs in PREFIXES:
            if name.startswith(ours):
                renamed[theirs + name[len(ours) :]] = value
    return renamed


def from_torchvision(state: Mapping[str, Tensor], trunk: Trunk) -> StateDict:
    """Inverse of `to_torchvision`; names that are no part of the detector are left out."""
    at, renamed = trunk.expansion_at, {}
    for name, value in state.items():
        if match := re.match(r"backbone\.features\.([01])\.(\d+)\.(.*)", name):
            half, index, rest = int(match[1]), int(match[2]), match[3]
            if half == 0:
                target = f"trunk.features.{index}." + (f"block.0.{rest}" if index == at else rest)
            else:
                target = f"trunk.features.{at + index}." + (f"block.{rest}" if index == 0 else rest)
            renamed[target] = value
            continue
        for ours, theirs in PREFIXES:
            if name.startswith(theirs):
                renamed[ours + name[len(theirs) :]] = value
    return renamed


@dataclass(frozen=True)
class LoadReport:
    """What a set of weights gave to a model.

    Attributes:
        loaded: names that were taken over.
        other_shape: names that exist on both sides with different shapes, and were left as initialised.
        missing: names of the model that the weights do not have.
        unused: names of the weights that the model does not have.
        kept_classes: classes whose rows of the class heads were taken over, where the weights have other classes.
        new_classes: classes that the weights do not know, likewise.
    """

    loaded: tuple[str, ...]
    other_shape: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    kept_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for people: counts, and the parts that were not taken over."""
        parts = sorted({".".join(name.split(".")[:3]) for name in (*self.other_shape, *self.missing)})
        line = f"{len(self.loaded)} tensors taken over, {len(self.other_shape)} of another shape, "
        line += f"{len(self.missing)} missing, {len(self.unused)} unused"
        if parts:
            line += f"; initialised anew: {_first(parts)}"
        if self.kept_classes or self.new_classes:
            line += f"; classes taken over: {_first(self.kept_classes) or 'none'}"
        if self.new_classes:
            line += f"; new classes: {_first(self.new_classes)}"
        return line


def _first(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if names[limit:] else "")


@torch.no_grad()
def load_what_fits(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Copies every tensor whose name and shape fit; says what was and was not taken over."""
    own = model.state_dict()
    loaded = [name for name in own if name in state and own[name].shape == state[name].shape]
    for name in loaded:
        own[name].copy_(state[name])
    return LoadReport(
        loaded=tuple(loaded),
        other_shape=tuple(name for name in own if name in state and own[name].shape != state[name].shape),
        missing=tuple(name for name in own if name not in state),
        unused=tuple(name for name in state if name not in own),
    )


def recognise(state: Mapping[str, Tensor], trunk: Trunk) -> StateDict:
    """Brings any known naming to ours: our own, torchvision's SSDLite, or a bare MobileNetV3 (`features.…`).

    Raises:
        UserError: none of these namings is there.
    """
    if any(name.startswith("trunk.") for name in state):
        return dict(state)
    if any(name.startswith("backbone.features.") for name in state):
        return from_torchvision(state, trunk)
    bare = {f"trunk.{name}": value for name, value in state.items() if name.startswith("features.")}
    if not bare:
        raise UserError(
            "weights must be named as here (trunk.…), in torchvision's SSDLite (backbone.features.…) or in its "
            f"MobileNetV3 (features.…), got {next(iter(state), 'none at all')}"
        )
    return bare
