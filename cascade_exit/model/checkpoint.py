"""Reading a detector back from a checkpoint, with plain torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cascade_exit.data import ClassMap
from cascade_exit.model.cascade import CascadeDetector
from cascade_exit.model.config import ModelConfig
from cascade_exit.model.decoding import DecodingConfig
from cascade_exit.runs import UserError, build

DETECTOR_PREFIX = "detector."


@dataclass(frozen=True)
class Checkpoint:
    """A trained detector with everything that is needed to use it.

    Attributes:
        model: the network's settings.
        class_map: frozen when training began.
        decoding: its post-processing.
        state: weights by the detector's names.
    """

    model: ModelConfig
    class_map: ClassMap
    decoding: DecodingConfig
    state: Mapping[str, Tensor]

    def detector(self) -> CascadeDetector:
        """The detector in evaluation mode."""
        detector = CascadeDetector(self.model, len(self.class_map))
        detector.load_state_dict(self.state)
        return detector.eval()


def read_state_file(path: Path) -> dict[str, Any]:
    """Contents of a `.ckpt`, `.pt` or `.pth` file, tensors and plain values only.

    Raises:
        UserError: the file is missing, damaged or holds code.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected weights (.ckpt, .pt, .pth)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file; all mean the same to the reader
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not readable as weights ({reason.split('. ')[0][:120]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dict of tensors, got {type(content).__name__}")
    return content


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint that training wrote.

    Raises:
        UserError: the file is missing, damaged, or was not written by training.
    """
    content = read_state_file(path)
    settings = content.get("hyper_parameters", {})
    if "state_dict" not in content or not {"model", "classes", "decoding"} <= settings.keys():
        raise UserError(f"{path}: not a checkpoint of this project: it lacks its model, classes and decoding settings")
    return Checkpoint(
        model=build(ModelConfig, settings["model"]),
        class_map=ClassMap(tuple(settings["classes"])),
        decoding=build(DecodingConfig, settings["decoding"]),
        state=detector_state(content["state_dict"]),
    )


def detector_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The detector's part of a LightningModule's state dict."""
    return {
        name.removeprefix(DETECTOR_PREFIX): value for name, value in state.items() if name.startswith(DETECTOR_PREFIX)
    }
