"""Which image comes when: a function of seed and epoch, the same for any number of processes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from cascade_exit.data.randomness import derive_seed
from cascade_exit.data.sampling import draw_repeats, epoch_length
from cascade_exit.runs.errors import UserError


class SampleKey(NamedTuple):
    """What a dataset is asked for. The epoch travels with the position because workers outlive an epoch.

    Attributes:
        epoch: Number of the epoch.
        position: Place of the image in its set.
        repeat: How often the image has come in this epoch before.
    """

    epoch: int
    position: int
    repeat: int = 0


class ResumableBatchSampler(Sampler[list[SampleKey]]):
    """Shuffled batches for training that can start anywhere in an epoch.

    Each global batch is divided evenly between the processes, so one process with batch size 16 and two with 8 each see
    the same images in the same step.

    Args:
        length: Number of images.
        batch_size: Images per step over all processes.
        seed: Seed of the order.
        drop_last: Leave out the last batch if it is not full. If it is kept, it is cut to a multiple of ``world``.
        rank: Number of this process.
        world: Number of processes.
        factors: How often each image comes in an epoch on average (see ``draw_repeats``); each once by default.

    Raises:
        ValueError: ``batch_size`` is not a positive multiple of ``world``, or ``rank`` is out of range.
        UserError: There are too few images for a single batch.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
        factors: Sequence[float] | None = None,
    ) -> None:
        _check_rank(rank, world)
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size must be a positive multiple of the {world} process(es), got {batch_size}")
        self.length, self.batch_size, self.seed, self.factors = length, batch_size, seed, factors
        self.rank, self.world = rank, world
        drawn = length if factors is None else epoch_length(factors)
        usable = drawn // world * world
        self._batches = drawn // batch_size if drop_last else -(-usable // batch_size)
        if self._batches == 0:
            raise UserError(f"the training set has {length} image(s), too few for one batch of {batch_size}")
        self._usable = self._batches * batch_size if drop_last else usable
        self._epoch, self._resumed_epoch, self._first_batch = 0, 0, 0

    @property
    def sampler(self) -> "ResumableBatchSampler":
        """This sampler: frameworks look for ``set_epoch`` on ``loader.batch_sampler.sampler``."""
        return self

    def __len__(self) -> int:
        """Batches of a whole epoch, also when the current one starts in the middle."""
        return self._batches

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration belongs to."""
        self._epoch = epoch

    def resume_at(self, epoch: int, batch: int) -> None:
        """Goes to an epoch and leaves out its first ``batch`` batches; every other epoch is whole."""
        if not 0 <= batch <= self._batches:
            raise ValueError(f"batch must be in [0, {self._batches}], got {batch}")
        self._epoch, self._resumed_epoch, self._first_batch = epoch, epoch, batch

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch = self._epoch
        order = self._order(epoch)[: self._usable]
        first = self._first_batch if epoch == self._resumed_epoch else 0
        for start in range(first * self.batch_size, len(order), self.batch_size):
            whole = order[start : start + self.batch_size]
            share = len(whole) // self.world
            yield whole[self.rank * share : (self.rank + 1) * share]

    def _order(self, epoch: int) -> list[SampleKey]:
        counts = [1] * self.length if self.factors is None else draw_repeats(self.factors, self.seed, epoch)
        drawn = [SampleKey(epoch, position, repeat) for position, count in enumerate(counts) for repeat in range(count)]
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, epoch))
        return [drawn[place] for place in torch.randperm(len(drawn), generator=generator).tolist()]


class EvaluationBatchSampler(Sampler[list[SampleKey]]):
    """Every image exactly once over all processes, in order and without padding.

    Args:
        length: Number of images.
        batch_size: Images per batch of one process.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: ``batch_size`` is not positive, or ``rank`` is out of range.
    """

    def __init__(self, length: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        _check_rank(rank, world)
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self._positions = range(rank, length, world)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._positions) // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for start in range(0, len(self._positions), self.batch_size):
            yield [SampleKey(0, position) for position in self._positions[start : start + self.batch_size]]


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank must be in [0, {world}), got {rank}")
