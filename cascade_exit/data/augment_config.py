"""Which augmentations training uses, and how strong they are."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AugmentConfig:
    """Settings of the SSD augmentations (Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 3.6).

    Args:
        kind: ``image`` augments each photo in the loader at full size; ``batch`` augments the whole batch at input size
            on whatever device it is; ``none`` leaves photos as they are.
        flip_probability: Chance of a horizontal flip.
        zoom_out_probability: Chance that the photo is laid on a larger canvas.
        zoom_out_max: Largest side of that canvas, in sides of the photo.
        iou_crop_probability: Chance that a crop is tried which overlaps an object by some minimal IoU.
        iou_crop_min_scale: Smallest side of the crop, in sides of the photo.
        photometric_probability: Chance of each photometric change (brightness, contrast, saturation, hue, order of
            channels).

    Raises:
        ValueError: A probability is outside [0, 1], or a scale is out of range.
    """

    kind: Literal["none", "image", "batch"] = "image"
    flip_probability: float = 0.5
    zoom_out_probability: float = 0.3
    zoom_out_max: float = 2.5
    iou_crop_probability: float = 0.8
    iou_crop_min_scale: float = 0.3
    photometric_probability: float = 0.5

    def __post_init__(self) -> None:
        for key in ("flip", "zoom_out", "iou_crop", "photometric"):
            value = getattr(self, f"{key}_probability")
            if not 0 <= value <= 1:
                raise ValueError(f"{key}_probability must be in [0, 1], got {value}")
        if self.zoom_out_max < 1:
            raise ValueError(f"zoom_out_max must be at least 1, got {self.zoom_out_max}")
        if not 0 < self.iou_crop_min_scale <= 1:
            raise ValueError(f"iou_crop_min_scale must be in (0, 1], got {self.iou_crop_min_scale}")
