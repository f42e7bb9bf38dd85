"""Gives Lightning the loaders of the train and val roles."""

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from cascade_exit.data import (
    AugmentConfig,
    CocoSet,
    EvaluationBatchSampler,
    ImageStore,
    InputConfig,
    ResumableBatchSampler,
    SamplingConfig,
    evaluation_loader,
    image_factors,
    training_loader,
)


class CascadeData(pl.LightningDataModule):
    """Train and val loaders whose batches are a function of (seed, epoch, rank).

    Args:
        train: images to learn from.
        val: images that choose the checkpoint.
        store: where decoded images come from.
        input_config: the network's input.
        augment: augmentation of training images.
        sampling: how often each training image comes.
        batch_size: images per step over all processes.
        seed: of order and augmentation.
        workers: loading processes.
        start: epoch and batch at which training goes on.
    """

    def __init__(
        self,
        train: CocoSet,
        val: CocoSet,
        store: ImageStore,
        input_config: InputConfig,
        augment: AugmentConfig,
        sampling: SamplingConfig,
        batch_size: int,
        seed: int,
        workers: int,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.train, self.val, self.store = train, val, store
        self.input_config, self.augment, self.sampling = input_config, augment, sampling
        self.batch_size, self.seed, self.workers, self.start = batch_size, seed, workers, start

    @property
    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        assert trainer is not None
        return trainer.global_rank, trainer.world_size

    @property
    def _pin(self) -> bool:
        assert self.trainer is not None
        return self.trainer.strategy.root_device.type == "cuda"

    def train_dataloader(self) -> DataLoader:
        """Shuffled, augmented batches from the place where training stands."""
        sampler = ResumableBatchSampler(
            len(self.train),
            self.batch_size,
            self.seed,
            rank=self._place[0],
            world=self._place[1],
            factors=image_factors(self.train, self.sampling),
        )
        sampler.resume_at(*self.start)
        return training_loader(
            self.train, self.store, self.input_config, self.augment, sampler, self.workers, self._pin
        )

    def val_dataloader(self) -> DataLoader:
        """Every val image once."""
        rank, world = self._place
        sampler = EvaluationBatchSampler(len(self.val), max(1, self.batch_size // world), rank, world)
        return evaluation_loader(self.val, self.store, self.input_config, sampler, self.workers, self._pin)
