"""Loaders whose batches are a function of seed and epoch, for any number of workers and processes."""

import torch
from torch.utils.data import DataLoader, Sampler

from cascade_exit.data.augment import ImageAugment
from cascade_exit.data.augment_config import AugmentConfig
from cascade_exit.data.batch import Sample, collate
from cascade_exit.data.dataset import DetectionDataset
from cascade_exit.data.input import InputConfig
from cascade_exit.data.record import CocoSet
from cascade_exit.data.sampler import EvaluationBatchSampler, ResumableBatchSampler, SampleKey
from cascade_exit.data.store import ImageStore


def training_loader(
    coco_set: CocoSet,
    store: ImageStore,
    input: InputConfig,
    augment: AugmentConfig,
    sampler: ResumableBatchSampler,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """Shuffled, augmented batches.

    Args:
        coco_set: The training images.
        store: Where decoded images come from.
        input: Size and resizing of the input.
        augment: Augmentation; kind ``batch`` is left to a ``BatchAugmenter``.
        sampler: The order of images; its seed also decides the augmentation.
        workers: Number of loading processes; 0 loads in this one.
        pin_memory: Load into page-locked memory.
    """
    per_image = ImageAugment(augment, input.fill) if augment.kind == "image" else None
    dataset = DetectionDataset(coco_set, input, store, per_image, seed=sampler.seed)
    return _loader(dataset, sampler, workers, pin_memory)


def evaluation_loader(
    coco_set: CocoSet,
    store: ImageStore,
    input: InputConfig,
    sampler: EvaluationBatchSampler,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """Every image of the set once, resized and not augmented.

    Args:
        coco_set: The images.
        store: Where decoded images come from.
        input: Size and resizing of the input.
        sampler: This process's part of the images.
        workers: Number of loading processes; 0 loads in this one.
        pin_memory: Load into page-locked memory.
    """
    return _loader(DetectionDataset(coco_set, input, store), sampler, workers, pin_memory)


def _loader(
    dataset: DetectionDataset, sampler: Sampler[list[SampleKey]], workers: int, pin_memory: bool
) -> DataLoader[Sample]:
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        # Without one, making an iterator would take a number from the global random state.
        generator=torch.Generator().manual_seed(0),
    )
