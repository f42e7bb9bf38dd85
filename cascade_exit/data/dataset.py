"""Samples at input size, from the records of a set."""

import torch
from torch.utils.data import Dataset

from cascade_exit.data.augment import Annotated, ImageAugment
from cascade_exit.data.batch import Sample
from cascade_exit.data.input import InputConfig, boxes_to_input, image_tensor, resize_image
from cascade_exit.data.randomness import image_seed
from cascade_exit.data.record import CocoSet, ImageRecord
from cascade_exit.data.sampler import SampleKey
from cascade_exit.data.store import ImageStore


class DetectionDataset(Dataset[Sample]):
    """Decodes, augments and resizes; asked with the keys that the batch samplers give.

    Args:
        coco_set: The images.
        input: Size and resizing of the input.
        store: Where decoded images come from.
        augment: Augmentation of each photo; None for evaluation and for augmentation of whole batches.
        seed: With epoch, image id and repeat it decides every random number.
    """

    def __init__(
        self,
        coco_set: CocoSet,
        input: InputConfig,
        store: ImageStore,
        augment: ImageAugment | None = None,
        seed: int = 0,
    ) -> None:
        self.coco_set, self.input, self.store = coco_set, input, store
        self.augment, self.seed = augment, seed

    def __len__(self) -> int:
        return len(self.coco_set)

    def __getitem__(self, key: SampleKey) -> Sample:
        """The sample at a position of the set in an epoch."""
        record = self.coco_set.records[key.position]
        photo = self._read(record)
        if self.augment is not None:
            photo = self.augment(photo, image_seed("augment", self.seed, key.epoch, record.image_id, key.repeat))
        height, width = photo.image.shape[1:]
        return Sample(
            image=resize_image(photo.image, self.input),
            boxes=boxes_to_input(photo.boxes, (height, width), self.input),
            labels=photo.labels,
            crowd=photo.crowd,
            image_id=record.image_id,
            original_size=(record.height, record.width),
            repeat=key.repeat,
        )

    def _read(self, record: ImageRecord) -> Annotated:
        # Copies: what the store and the records hold is shared and must stay as it is.
        return Annotated(
            image=image_tensor(self.store.read(record)),
            boxes=torch.tensor(record.boxes),
            labels=torch.tensor(record.labels),
            crowd=torch.tensor(record.crowd),
        )
