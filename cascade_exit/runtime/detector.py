"""A trained detector on photos."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from cascade_exit.data import ClassMap, read_image, resize_image
from cascade_exit.model import FULL, Detections, ExitCost, decode, exit_costs
from cascade_exit.model.checkpoint import Checkpoint, read_checkpoint
from cascade_exit.runs import Manifest, UserError
from cascade_exit.runtime.folding import fold_batch_norm
from cascade_exit.runtime.kept_model import DESCRIPTION, WEIGHTS, read_kept_model

Photo = str | Path | Image.Image | np.ndarray | Tensor
BEST = Path("checkpoints") / "best.ckpt"


class Detector:
    """Detects objects in photos of any size.

    Args:
        checkpoint: a trained network with its class map.
        device: where it runs.

    Attributes:
        class_map: what the labels mean.
        exit_names: from shallow to deep.
        network: the network in evaluation mode, its batch norm folded away.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | torch.device = "cpu") -> None:
        self.checkpoint = checkpoint
        self.class_map: ClassMap = checkpoint.class_map
        self.device = _usable(device)
        network = checkpoint.detector()
        fold_batch_norm(network)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.exit_names = self.network.exit_names

    def __call__(self, photo: Photo) -> Detections:
        """Detections of the full exit; see `every_exit` for `photo`."""
        return self.every_exit(photo)[FULL]

    @cached_property
    def costs(self) -> dict[str, ExitCost]:
        """Cost of each exit as it was trained, shallow to deep."""
        return exit_costs(self.checkpoint.detector())

    @torch.inference_mode()
    def every_exit(self, photo: Photo) -> dict[str, Detections]:
        """What each exit finds.

        Args:
            photo: a file, a PIL image, an array `[height, width, 3]` or a tensor `[3, height, width]`, RGB uint8.

        Returns:
            Detections by exit name, boxes in pixels of the photo.

        Raises:
            UserError: the file is missing or no image.
            TypeError: an array or tensor is not RGB uint8 of that shape.
        """
        pixels = as_pixels(photo)
        resized = resize_image(pixels, self.checkpoint.model.input)
        size = torch.tensor([[pixels.shape[1], pixels.shape[2]]], device=self.device)
        outputs = self.network(resized[None].to(self.device))
        settings = self.checkpoint.model.input, size, self.checkpoint.decoding
        return {name: decode(output, self.network.grids[name], *settings)[0] for name, output in outputs.items()}


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.zeros((), device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise UserError(
            f"device={device}: cannot be used here ({str(error).splitlines()[0]}); give device=cpu"
        ) from error


def as_pixels(photo: Photo) -> UInt8[Tensor, "3 height width"]:
    """RGB pixels of a photo in any of the forms that a `Detector` takes."""
    if isinstance(photo, str | Path):
        photo = read_image(Path(photo))
    elif isinstance(photo, Image.Image):
        photo = np.asarray(photo.convert("RGB"))
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise TypeError(f"an array must be RGB uint8 [height, width, 3], got {photo.dtype} {list(photo.shape)}")
        return torch.from_numpy(photo.transpose(2, 0, 1).copy())
    if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3:
        raise TypeError(f"a tensor must be RGB uint8 [3, height, width], got {photo.dtype} {list(photo.shape)}")
    return photo


def read_model(folder: Path) -> Checkpoint:
    """The trained network of a kept model or of a training run (its best checkpoint).

    Raises:
        UserError: there is none.
    """
    if (folder / DESCRIPTION).is_file():
        return read_kept_model(folder).checkpoint
    return read_checkpoint(folder / BEST)


def model_id(folder: Path) -> str:
    """A kept model's name as `models/<name>`, or a run's id."""
    return f"models/{folder.name}" if (folder / DESCRIPTION).is_file() else Manifest.read(folder).id


def model_fingerprint(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a model's weights file."""
    kept = (folder / DESCRIPTION).is_file()
    return hashlib.sha256((folder / (WEIGHTS if kept else BEST)).read_bytes()).hexdigest()[:16]
