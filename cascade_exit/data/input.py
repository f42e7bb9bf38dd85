"""What the network is fed: the input's size and how photos and boxes get there and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

# The network's largest stride.
SMALLEST_PX = 32


@dataclass(frozen=True)
class InputConfig:
    """Square input of the network; stored in the checkpoint.

    Args:
        size_px: Side of the input in pixels.
        resize: ``stretch`` fills the square and changes the aspect ratio (as torchvision's SSD does);
            ``letterbox`` keeps it and pads the shorter side evenly.
        scaling: ``imagenet`` subtracts ImageNet's mean and divides by its deviation; ``symmetric`` maps to [-1, 1].

    Raises:
        ValueError: ``size_px`` is too small for the network's strides.
    """

    size_px: int = 320
    resize: Literal["stretch", "letterbox"] = "stretch"
    scaling: Literal["imagenet", "symmetric"] = "imagenet"

    def __post_init__(self) -> None:
        if self.size_px < SMALLEST_PX:
            raise ValueError(f"size_px must be at least {SMALLEST_PX}, got {self.size_px}")

    @property
    def fill(self) -> tuple[int, int, int]:
        """RGB of padding: the uint8 colour that scaling turns into (nearly) zero."""
        return (124, 116, 104) if self.scaling == "imagenet" else (128, 128, 128)


def resized_area(original_size: tuple[int, int], input: InputConfig) -> tuple[int, int, int, int]:
    """Where a photo lies in the input.

    Args:
        original_size: Height and width of the photo in pixels.
        input: The input's settings.

    Returns:
        Left, top, width and height in input pixels.
    """
    size = input.size_px
    if input.resize == "stretch":
        return 0, 0, size, size
    height, width = original_size
    longer = max(height, width)
    new_width, new_height = max(1, round(width * size / longer)), max(1, round(height * size / longer))
    return (size - new_width) // 2, (size - new_height) // 2, new_width, new_height


def image_tensor(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[Tensor, "3 height width"]:
    """A copy of RGB pixels as torch takes them; colours stay interleaved in memory, which resizes twice as fast."""
    # Torch takes no arrays that run backwards.
    return torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def stack_images(images: Sequence[UInt8[Tensor, "3 size size"]]) -> UInt8[Tensor, "batch 3 size size"]:
    """A batch of images whose colours stay interleaved, as those of an image alone do."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def resize_image(image_u8: UInt8[Tensor, "3 height width"], input: InputConfig) -> UInt8[Tensor, "3 size size"]:
    """Brings a photo to input size (bilinear with antialiasing).

    Args:
        image_u8: RGB photo.
        input: The input's settings.

    Returns:
        RGB image of ``size_px`` by ``size_px`` pixels.
    """
    left, top, width, height = resized_area((image_u8.shape[1], image_u8.shape[2]), input)
    resized = transform.resize(image_u8, [height, width], antialias=True)
    if (height, width) == (input.size_px, input.size_px):
        return resized
    canvas = torch.tensor(input.fill, dtype=torch.uint8, device=image_u8.device)[:, None, None]
    canvas = canvas.repeat(1, input.size_px, input.size_px)
    canvas[:, top : top + height, left : left + width] = resized
    return canvas


def shrink_images(images: UInt8[Tensor, "batch 3 row column"], size_px: int) -> UInt8[Tensor, "batch 3 size size"]:
    """Brings images at input size down to a smaller square (bilinear with antialiasing).

    What a smaller image shows follows from the input, not from the photo: so it is the same in training, whose
    augmentation ends at the input size, and at work.
    """
    return transform.resize(images, [size_px, size_px], antialias=True)


def boxes_to_input(
    boxes: Float[Tensor, "*objects 4"], original_size: tuple[int, int], input: InputConfig
) -> Float[Tensor, "*objects 4"]:
    """Moves boxes from photo pixels to input pixels.

    Args:
        boxes: xyxy in pixels of the photo.
        original_size: Height and width of the photo in pixels.
        input: The input's settings.

    Returns:
        xyxy in input pixels.
    """
    scale, offset = _scale_and_offset(boxes, original_size, input)
    return boxes * scale + offset


def boxes_to_original(
    boxes: Float[Tensor, "*objects 4"], original_size: tuple[int, int], input: InputConfig
) -> Float[Tensor, "*objects 4"]:
    """Moves boxes from input pixels back to photo pixels, clipped to the photo.

    Args:
        boxes: xyxy in input pixels.
        original_size: Height and width of the photo in pixels.
        input: The input's settings.

    Returns:
        xyxy in pixels of the photo, within it.
    """
    scale, offset = _scale_and_offset(boxes, original_size, input)
    height, width = original_size
    limit = boxes.new_tensor([width, height, width, height])
    return ((boxes - offset) / scale).clamp(min=0).minimum(limit)


def _scale_and_offset(
    boxes: Float[Tensor, "*objects 4"], original_size: tuple[int, int], input: InputConfig
) -> tuple[Float[Tensor, "4"], Float[Tensor, "4"]]:
    left, top, width, height = resized_area(original_size, input)
    scale_x, scale_y = width / original_size[1], height / original_size[0]
    return boxes.new_tensor([scale_x, scale_y, scale_x, scale_y]), boxes.new_tensor([left, top, left, top])
