"""Augments one photo with torchvision's transforms, before it is resized."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from cascade_exit.data.augment_config import AugmentConfig

# Below this a crop of iou_crop_min_scale could round to no pixels at all.
_MIN_CROP_SIDE_PX = 2.0


class Annotated(NamedTuple):
    """A photo with its boxes in xyxy pixels."""

    image: UInt8[Tensor, "3 height width"]
    boxes: Float32[Tensor, "object 4"]
    labels: Int64[Tensor, "object"]
    crowd: Bool[Tensor, "object"]


class ImageAugment:
    """Photometric changes, zoom-out, IoU crop and flip, in the order of the SSD paper.

    Args:
        config: Probabilities and strengths.
        fill: RGB around a zoomed-out photo.
    """

    def __init__(self, config: AugmentConfig, fill: tuple[int, int, int]) -> None:
        self.config = config
        self._before_crop = v2.Compose(
            [
                v2.RandomPhotometricDistort(p=config.photometric_probability),
                v2.RandomZoomOut(
                    fill={tv_tensors.Image: fill}, side_range=(1.0, config.zoom_out_max), p=config.zoom_out_probability
                ),
            ]
        )
        self._iou_crop = v2.RandomIoUCrop(min_scale=config.iou_crop_min_scale)
        self._after_crop = v2.Compose(
            [
                v2.RandomHorizontalFlip(p=config.flip_probability),
                v2.ClampBoundingBoxes(),
                v2.SanitizeBoundingBoxes(labels_getter=lambda sample: (sample["labels"], sample["crowd"])),
            ]
        )

    def __call__(self, sample: Annotated, seed: int) -> Annotated:
        """Augments one photo; the result is a function of the photo and the seed alone."""
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also reset the random state of every GPU.
            torch.default_generator.manual_seed(seed)
            height, width = sample.image.shape[1:]
            changed = self._before_crop(
                {
                    "image": tv_tensors.Image(sample.image),
                    "boxes": tv_tensors.BoundingBoxes(sample.boxes, format="XYXY", canvas_size=(height, width)),
                    "labels": sample.labels,
                    "crowd": sample.crowd,
                }
            )
            changed = self._after_crop(self._crop(changed))
        return Annotated(
            image=changed["image"].as_subclass(Tensor),
            boxes=changed["boxes"].as_subclass(Tensor),
            labels=changed["labels"],
            crowd=changed["crowd"],
        )

    def _crop(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Crops around the objects, or around the whole photo if there are none.

        Objects whose centre is cut off are dropped, as in SSD; of a crowd's area everything inside the crop is kept,
        because anchors there must not become negatives.
        """
        height, width = sample["image"].shape[1:]
        too_small = min(height, width) * self.config.iou_crop_min_scale < _MIN_CROP_SIDE_PX
        if too_small or torch.rand(()) >= self.config.iou_crop_probability:
            return sample
        targets = _crop_targets(sample["boxes"].as_subclass(Tensor), sample["crowd"], (height, width))
        area = self._iou_crop.make_params(
            [sample["image"], tv_tensors.BoundingBoxes(targets, format="XYXY", canvas_size=(height, width))]
        )
        if not area:
            return sample
        keep = sample["crowd"].clone()
        keep[~sample["crowd"]] = area["is_within_crop_area"][: int((~sample["crowd"]).sum())]
        crop = (area["top"], area["left"], area["height"], area["width"])
        boxes = v2.functional.crop(sample["boxes"], *crop)
        return {
            "image": v2.functional.crop(sample["image"], *crop),
            "boxes": tv_tensors.wrap(boxes[keep], like=boxes),
            "labels": sample["labels"][keep],
            "crowd": sample["crowd"][keep],
        }


def _crop_targets(
    boxes: Float32[Tensor, "object 4"], crowd: Bool[Tensor, "object"], size: tuple[int, int]
) -> Float32[Tensor, "target 4"]:
    """Boxes that a crop is chosen for: the objects, or the whole photo if there are none."""
    if crowd.all():
        return torch.tensor([[0.0, 0.0, size[1], size[0]]])
    return boxes[~crowd]
