"""A trained detector on photos."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from cascade_exit.data import ClassMap, image_tensor, read_image, resize_image
from cascade_exit.model import FULL, CascadeDetector, Detections, ExitCost, decode_exits, exit_costs
from cascade_exit.model.checkpoint import Checkpoint, read_checkpoint
from cascade_exit.runs import Manifest, UserError
from cascade_exit.runtime.exported import is_exported, read_exported
from cascade_exit.runtime.folding import fold_batch_norm
from cascade_exit.runtime.kept_model import DESCRIPTION, is_kept, kept_fingerprint, read_kept_model
from cascade_exit.runtime.network import Backend, Network

Photo = str | Path | Image.Image | np.ndarray | Tensor
BEST = Path("checkpoints") / "best.ckpt"


class Detector:
    """Detects objects in photos of any size.

    Args:
        checkpoint: a trained network with its class map; without weights where `network` is given.
        device: where it runs.
        network: computes instead of the checkpoint's own, on the CPU.
        costs: of that network's exits.
        backend: what runs it.

    Attributes:
        class_map: what the labels mean.
        exit_names: from shallow to deep.
        network: what computes; the checkpoint's own in evaluation mode, its batch norm folded away.
        backend: what runs the network.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        network: Network | None = None,
        costs: Mapping[str, ExitCost] | None = None,
        backend: Backend = "torch",
    ) -> None:
        self.checkpoint, self.backend, self._costs = checkpoint, backend, costs
        self.class_map: ClassMap = checkpoint.class_map
        self.device = _usable(device)
        self.network: Network = self._folded() if network is None else network
        self.exit_names = self.network.exit_names

    def _folded(self) -> CascadeDetector:
        network = self.checkpoint.detector()
        fold_batch_norm(network)
        moved: CascadeDetector = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def fed(self, images: UInt8[Tensor, "batch 3 row column"]) -> UInt8[Tensor, "batch 3 row column"]:
        """Images where and as the network takes them fastest."""
        if self.backend != "torch":
            return images
        return images.to(self.device).contiguous(memory_format=torch.channels_last)

    def __call__(self, photo: Photo) -> Detections:
        """Detections of the full exit; see `every_exit` for `photo`."""
        return self.every_exit(photo)[FULL]

    @cached_property
    def costs(self) -> Mapping[str, ExitCost]:
        """Cost of each exit as it was trained, shallow to deep."""
        return exit_costs(self.checkpoint.detector()) if self._costs is None else self._costs

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
        outputs = self.network(self.fed(resized[None]))
        found = decode_exits(outputs, self.network.grids, self.checkpoint.model, size, self.checkpoint.decoding)
        return {name: of_exit[0] for name, of_exit in found.items()}


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
        return image_tensor(photo)
    if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3:
        raise TypeError(f"a tensor must be RGB uint8 [3, height, width], got {photo.dtype} {list(photo.shape)}")
    return photo


def read_model(folder: Path) -> Checkpoint:
    """The trained network of a kept model or of a training run (its best checkpoint).

    Raises:
        UserError: there is none.
    """
    if is_exported(folder):
        raise UserError(f"{folder} is an exported model, without weights: give the run that it was exported from")
    if (folder / DESCRIPTION).is_file():
        return read_kept_model(folder).checkpoint
    return read_checkpoint(folder / BEST)


def model_id(folder: Path) -> str:
    """A run's id, or a kept model's name as `models/<name>`."""
    return f"models/{folder.name}" if is_kept(folder) else Manifest.read(folder).id


def model_fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that differ where what a model answers may differ: weights or settings.

    Of a training run, the SHA-256 of its best checkpoint, which holds both; see `kept_fingerprint` for a kept model
    and `Exported.fingerprint` for an exported one.

    Raises:
        UserError: it shares weights with a kept model that is not there or holds others, or is damaged.
    """
    if is_exported(folder):
        return read_exported(folder).fingerprint
    if (folder / DESCRIPTION).is_file():
        return kept_fingerprint(folder)
    return hashlib.sha256((folder / BEST).read_bytes()).hexdigest()[:16]
