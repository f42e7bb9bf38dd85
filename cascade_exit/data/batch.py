"""Samples, batches and how the first become the second."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor


@dataclass
class Sample:
    """One image at input size with what is true of it.

    Args:
        image: RGB.
        boxes: xyxy in input pixels.
        labels: Class labels, from 1.
        crowd: True where a box encloses a crowd of objects rather than one.
        image_id: Id in the annotation file.
        original_size: Height and width of the photo in pixels.
        repeat: How often the image has come in this epoch before.
    """

    image: UInt8[Tensor, "3 height width"]
    boxes: Float32[Tensor, "object 4"]
    labels: Int64[Tensor, "object"]
    crowd: Bool[Tensor, "object"]
    image_id: int
    original_size: tuple[int, int]
    repeat: int = 0


@dataclass
class Targets:
    """True boxes of a batch, padded to the largest number of objects.

    Args:
        boxes: xyxy in input pixels; zeros where padded.
        labels: Class labels; 0 marks padding.
        crowd: True where a box encloses a crowd: never a positive, and anchors lying mostly in it are no negatives.
    """

    boxes: Float32[Tensor, "batch object 4"]
    labels: Int64[Tensor, "batch object"]
    crowd: Bool[Tensor, "batch object"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Targets":
        """The same targets on another device."""
        return Targets(
            boxes=self.boxes.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            crowd=self.crowd.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Targets":
        """The same targets in page-locked memory."""
        return Targets(self.boxes.pin_memory(), self.labels.pin_memory(), self.crowd.pin_memory())


@dataclass
class Batch:
    """Images at input size with their targets.

    Args:
        images: RGB.
        targets: True boxes.
        image_ids: Ids in the annotation file.
        original_sizes: Height and width of each photo in pixels.
        repeats: How often each image has come in this epoch before.
    """

    images: UInt8[Tensor, "batch 3 height width"]
    targets: Targets
    image_ids: Int64[Tensor, "batch"]
    original_sizes: Int64[Tensor, "batch 2"]
    repeats: Int64[Tensor, "batch"]

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return Batch(
            images=self.images.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
            image_ids=self.image_ids.to(device, non_blocking=non_blocking),
            original_sizes=self.original_sizes.to(device, non_blocking=non_blocking),
            repeats=self.repeats.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (a DataLoader calls this when ``pin_memory=True``)."""
        return Batch(
            images=self.images.pin_memory(),
            targets=self.targets.pin_memory(),
            image_ids=self.image_ids.pin_memory(),
            original_sizes=self.original_sizes.pin_memory(),
            repeats=self.repeats.pin_memory(),
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Makes a batch of samples of one input size.

    Targets are padded to the largest number of objects in the batch, and to at least one, so that a reduction over
    objects is always defined.
    """
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        targets=pad_targets(
            [sample.boxes for sample in samples],
            [sample.labels for sample in samples],
            [sample.crowd for sample in samples],
        ),
        image_ids=torch.tensor([sample.image_id for sample in samples], dtype=torch.int64),
        original_sizes=torch.tensor([sample.original_size for sample in samples], dtype=torch.int64),
        repeats=torch.tensor([sample.repeat for sample in samples], dtype=torch.int64),
    )


def pad_targets(boxes: Sequence[Tensor], labels: Sequence[Tensor], crowd: Sequence[Tensor]) -> Targets:
    """Pads per-image boxes ``[object 4]``, labels and crowd flags ``[object]`` to one set of targets."""
    most = max(1, *(len(image_labels) for image_labels in labels))
    targets = Targets(
        boxes=torch.zeros(len(labels), most, 4),
        labels=torch.zeros(len(labels), most, dtype=torch.int64),
        crowd=torch.zeros(len(labels), most, dtype=torch.bool),
    )
    for row, (image_boxes, image_labels, image_crowd) in enumerate(zip(boxes, labels, crowd, strict=True)):
        targets.boxes[row, : len(image_labels)] = image_boxes
        targets.labels[row, : len(image_labels)] = image_labels
        targets.crowd[row, : len(image_labels)] = image_crowd
    return targets
