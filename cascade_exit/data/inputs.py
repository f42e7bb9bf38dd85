"""A few images as the network is fed with them."""

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from cascade_exit.data.input import InputConfig, image_tensor, resize_image, stack_images
from cascade_exit.data.record import CocoSet
from cascade_exit.data.store import ImageStore


def read_inputs(
    images: CocoSet, store: ImageStore, input: InputConfig, limit: int
) -> UInt8[Tensor, "image 3 size size"]:
    """Images of a set at input size, spread evenly over it.

    Args:
        images: The set; at least one image.
        store: Where decoded images come from.
        input: Size and resizing of the input.
        limit: At most so many images.
    """
    places = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int)
    decoded = (store.read(images.records[place]) for place in places)
    return stack_images([resize_image(image_tensor(pixels), input) for pixels in decoded])
