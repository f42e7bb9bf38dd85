"""Augments a whole batch at input size, on whatever device it lies."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional

from cascade_exit.data.augment_config import AugmentConfig
from cascade_exit.data.augment_plan import AugmentPlan, draw_plan
from cascade_exit.data.batch import Batch, Targets, pad_targets
from cascade_exit.data.input import InputConfig
from cascade_exit.data.randomness import image_seed

_MIN_SIDE_PX = 1.0
_COARSEST_LEVEL = 2


class BatchAugmenter:
    """Photometric changes as one colour matrix, then flip, zoom-out and IoU crop as one sampling of each image.

    What happens to an image is drawn on the CPU from (seed, epoch, image id, repeat): it depends neither on the device
    nor on the rest of the batch.

    Args:
        config: Probabilities and strengths.
        input: The input's settings, for the colour around a zoomed-out image.
        seed: Seed of the run.
    """

    def __init__(self, config: AugmentConfig, input: InputConfig, seed: int) -> None:
        self.config, self.input, self.seed = config, input, seed

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """Augments a batch; its original sizes stay those of the photos, though boxes no longer map back to them."""
        size = batch.images.shape[-1]
        targets = batch.targets.to("cpu")
        plans = [
            self._plan(
                boxes[(labels > 0) & ~crowd].numpy(),
                size,
                image_seed("batch augment", self.seed, epoch, image_id, repeat),
            )
            for boxes, labels, crowd, image_id, repeat in zip(
                targets.boxes,
                targets.labels,
                targets.crowd,
                batch.image_ids.tolist(),
                batch.repeats.tolist(),
                strict=True,
            )
        ]
        # One image fits the processor's cache, and then all is three times as fast; a GPU wants the whole batch.
        step = 1 if batch.images.device.type == "cpu" else len(batch)
        parts = [(batch.images[row : row + step], plans[row : row + step]) for row in range(0, len(batch), step)]
        return Batch(
            images=torch.cat([self._change_pixels(images, part) for images, part in parts]),
            targets=move_targets(targets, plans, size).to(batch.images.device),
            image_ids=batch.image_ids,
            original_sizes=batch.original_sizes,
            repeats=batch.repeats,
        )

    def _change_pixels(
        self, images: UInt8[Tensor, "batch 3 size size"], plans: Sequence[AugmentPlan]
    ) -> UInt8[Tensor, "batch 3 size size"]:
        return sample_windows(change_colours(images, plans), plans, self.input.fill)

    def _plan(self, boxes: Float32[np.ndarray, "object 4"], size: int, seed: int) -> AugmentPlan:
        return draw_plan(self.config, boxes, size, np.random.Generator(np.random.PCG64(seed)))


def sample_windows(
    images: UInt8[Tensor, "batch 3 size size"], plans: Sequence[AugmentPlan], fill: tuple[int, int, int]
) -> UInt8[Tensor, "batch 3 size size"]:
    """Fills each output image with the plan's window of the input image, bilinearly.

    A window more than twice as large as the output is read from an averaged copy of half or a quarter of the size, so
    that far objects are smooth as in a real photo rather than aliased.

    Args:
        images: RGB images.
        plans: One per image.
        fill: RGB of what lies outside the image.

    Returns:
        RGB images of the same size.
    """
    size = images.shape[-1]
    colour = torch.tensor(fill, dtype=torch.float32, device=images.device)[:, None, None]
    # With the fill colour at zero, grid_sample's zero padding is the fill.
    centred = images.float().sub_(colour)
    grid = _window_grid(plans, size, images.device)
    levels = [_level(plan, size) for plan in plans]
    sampled = torch.empty_like(centred)
    for level in sorted(set(levels)):
        rows = [row for row, of_row in enumerate(levels) if of_row == level]
        source = centred[rows]
        if level:
            source = functional.interpolate(source, size=(size >> level, size >> level), mode="area")
        sampled[rows] = functional.grid_sample(source, grid[rows], padding_mode="zeros", align_corners=False)
    return sampled.add_(colour).round_().clamp_(0, 255).to(torch.uint8)


def change_colours(
    images: UInt8[Tensor, "batch 3 height width"], plans: Sequence[AugmentPlan]
) -> UInt8[Tensor, "batch 3 height width"]:
    """Applies each plan's colour matrices: ``of_pixel @ rgb + of_mean @ (mean rgb of the image)``."""
    of_pixel = torch.from_numpy(np.stack([plan.of_pixel for plan in plans]))
    of_mean = torch.from_numpy(np.stack([plan.of_mean for plan in plans]))
    # Whole numbers add up to the same sum in any order, hence on any device and in any batch.
    mean = images.sum(dim=(2, 3), dtype=torch.int64).cpu().double() / (images.shape[2] * images.shape[3])
    factors = [_per_image(of_pixel[..., channel]).to(images.device) for channel in range(3)]
    red, green, blue = images.float().split(1, dim=1)
    # Three products rather than a matrix product: that may round differently with the size of the batch.
    changed = red * factors[0]
    changed += green * factors[1]
    changed += blue * factors[2]
    changed += _per_image((of_mean * mean[:, None, :]).sum(dim=2)).to(images.device)
    return changed.round_().clamp_(0, 255).to(torch.uint8)


def move_targets(targets: Targets, plans: Sequence[AugmentPlan], size: int) -> Targets:
    """Moves boxes along with the pixels.

    An object whose centre has left the image is dropped, as in SSD; a crowd is kept as far as it can be seen. What is
    left is clipped to the image, and dropped if a side is below one pixel.
    """
    windows = torch.from_numpy(np.stack([plan.window for plan in plans]))[:, None, :]
    scale = (size / (windows[..., 2:] - windows[..., :2])).repeat(1, 1, 2)
    boxes = (targets.boxes.double() - windows[..., :2].repeat(1, 1, 2)) * scale
    flip = torch.tensor([plan.flip for plan in plans])[:, None, None]
    mirrored = torch.stack([size - boxes[..., 2], boxes[..., 1], size - boxes[..., 0], boxes[..., 3]], dim=-1)
    boxes = torch.where(flip, mirrored, boxes)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((centres > 0) & (centres < size)).all(dim=-1) | targets.crowd
    boxes = boxes.clamp(0, size)
    seen = (boxes[..., 2:] - boxes[..., :2] >= _MIN_SIDE_PX).all(dim=-1)
    keep = inside & seen & (targets.labels > 0)
    return pad_targets(
        [row[kept].float() for row, kept in zip(boxes, keep, strict=True)],
        [row[kept] for row, kept in zip(targets.labels, keep, strict=True)],
        [row[kept] for row, kept in zip(targets.crowd, keep, strict=True)],
    )


def _per_image(values: Float[Tensor, "batch 3"]) -> Float32[Tensor, "batch 3 1 1"]:
    return values.float()[..., None, None]


def _window_grid(plans: Sequence[AugmentPlan], size: int, device: torch.device) -> Float32[Tensor, "batch size size 2"]:
    """Where each output pixel's centre lies in the input image, in grid_sample's [-1, 1] coordinates."""
    steps = (torch.arange(size, dtype=torch.float64, device=device) + 0.5) / size
    left, top, right, bottom = torch.from_numpy(np.stack([plan.window for plan in plans])).to(device).unbind(dim=1)
    flip = torch.tensor([plan.flip for plan in plans], device=device)
    start, stop = torch.where(flip, right, left), torch.where(flip, left, right)
    x = (start[:, None] + (stop - start)[:, None] * steps) * 2 / size - 1
    y = (top[:, None] + (bottom - top)[:, None] * steps) * 2 / size - 1
    shape = (len(plans), size, size)
    return torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1).float()


def _level(plan: AugmentPlan, size: int) -> int:
    """How often the source is halved: as often as the window holds two source pixels per output pixel, each way."""
    ratio = min(plan.window[2] - plan.window[0], plan.window[3] - plan.window[1]) / size
    return min(_COARSEST_LEVEL, max(0, int(np.floor(np.log2(ratio)))))
