"""Training in the manner of torchvision's references/detection: its SSDLite, transforms, loss and loop."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.transforms import v2

from cascade_exit.data.record import ImageRecord

Photo = tuple[Tensor, dict[str, Tensor]]
LR_WARM_UP_STEPS = 1000


class Photos(Dataset[Photo]):
    """Photos read from their files, with the augmentations of the reference's "ssdlite" preset."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self.records = records
        self.transforms = v2.Compose(
            [
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(p=0.5),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.SanitizeBoundingBoxes(),
                v2.ToPureTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: int) -> Photo:
        record = self.records[place]
        size = (record.height, record.width)
        target = {
            "boxes": tv_tensors.BoundingBoxes(torch.tensor(record.boxes), format="XYXY", canvas_size=size),
            "labels": torch.tensor(record.labels),
        }
        return self.transforms(Image.open(record.path).convert("RGB"), target)


class ReferenceLoop:
    """The reference's loop, a few steps at a time.

    Args:
        records: photos to learn from, each with an object, as the reference keeps them.
        labels: classes and background.
        device: where the network is.
        batch_size: photos a step.
        workers: loading processes.
        bfloat16: compute in mixed precision.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        labels: int,
        device: torch.device,
        batch_size: int,
        workers: int,
        bfloat16: bool,
    ) -> None:
        self.device, self.bfloat16 = device, bfloat16
        self.model: nn.Module = ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=labels
        ).to(device)
        self.model.train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.15, momentum=0.9, weight_decay=4e-5)
        self.lr_schedule = torch.optim.lr_scheduler.LinearLR(
            self.optimizer, 1 / LR_WARM_UP_STEPS, total_iters=LR_WARM_UP_STEPS
        )
        loader = DataLoader(
            Photos(records),
            batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            collate_fn=_as_tuples,
        )
        self.batches = _endless(loader)

    def run(self, steps: int) -> None:
        """Takes some steps."""
        for images, targets in islice(self.batches, steps):
            self._step(images, targets)

    def _step(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> None:
        moved = [image.to(self.device) for image in images]
        wanted = [{name: values.to(self.device) for name, values in target.items()} for target in targets]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = sum(self.model(moved, wanted).values())
        assert isinstance(loss, Tensor)
        if not math.isfinite(loss.item()):  # the reference looks at every step's loss
            raise RuntimeError("the reference's loss is no number")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.lr_schedule.step()


def _as_tuples(samples: Sequence[Photo]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


def _endless(loader: DataLoader[Photo]) -> Iterator[Any]:
    while True:
        yield from loader
