from itertools import chain

import pytest

from cascade_exit.data import EvaluationBatchSampler, ResumableBatchSampler
from cascade_exit.runs.errors import UserError


def _positions(batches: list[list]) -> list[list[int]]:
    return [[key.position for key in batch] for batch in batches]


def _epoch(sampler: ResumableBatchSampler, epoch: int) -> list[list]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_holds_every_image_once_and_carries_its_number() -> None:
    sampler = ResumableBatchSampler(20, 4, seed=3)
    batches = _epoch(sampler, 7)
    assert len(batches) == len(sampler) == 5
    assert sorted(chain(*_positions(batches))) == list(range(20))
    assert {key.epoch for key in chain(*batches)} == {7}


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first, again, other = (ResumableBatchSampler(50, 5, seed=seed) for seed in (1, 1, 2))
    _epoch(again, 9)
    assert _epoch(first, 4) == _epoch(again, 4)
    assert _positions(_epoch(first, 4)) != _positions(_epoch(first, 5))
    assert _positions(_epoch(first, 4)) != _positions(_epoch(other, 4))


@pytest.mark.parametrize(("length", "drop_last", "sizes"), [(22, True, [5] * 4), (22, False, [5] * 4 + [2])])
def test_the_last_batch_is_dropped_or_kept(length: int, drop_last: bool, sizes: list[int]) -> None:
    sampler = ResumableBatchSampler(length, 5, seed=0, drop_last=drop_last)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == sizes
    assert len(sampler) == len(sizes)
    assert len(set(chain(*batches))) == sum(sizes)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 3, 5])
def test_resuming_gives_the_rest_of_the_epoch_and_then_whole_ones(batch: int, drop_last: bool) -> None:
    whole = ResumableBatchSampler(23, 4, seed=5, drop_last=drop_last)
    resumed = ResumableBatchSampler(23, 4, seed=5, drop_last=drop_last)
    resumed.resume_at(epoch=2, batch=batch)
    assert list(resumed) == _epoch(whole, 2)[batch:]
    assert len(resumed) == len(whole)
    assert _epoch(resumed, 3) == _epoch(whole, 3)


def test_setting_the_resumed_epoch_again_keeps_its_start() -> None:
    sampler = ResumableBatchSampler(20, 4, seed=5)
    sampler.resume_at(epoch=2, batch=3)
    assert len(_epoch(sampler, 2)) == 2


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize(("length", "drop_last"), [(30, True), (30, False), (33, False)])
def test_ranks_share_the_same_global_batches(world: int, length: int, drop_last: bool) -> None:
    alone = ResumableBatchSampler(length, 8, seed=1, drop_last=drop_last)
    ranks = [ResumableBatchSampler(length, 8, 1, drop_last, rank, world) for rank in range(world)]
    per_rank = [_epoch(sampler, 2) for sampler in ranks]
    global_batches = _epoch(alone, 2)
    for step, parts in enumerate(zip(*per_rank, strict=True)):
        assert len({len(part) for part in parts}) == 1
        together = list(chain(*parts))
        assert len(set(together)) == len(together)
        # Only the last batch may lose a few images, so that all ranks have equally many.
        assert set(together) <= set(global_batches[step])
        assert len(global_batches[step]) - len(together) < (world if step == len(ranks[0]) - 1 else 1)
    assert {len(sampler) for sampler in ranks} == {len(per_rank[0])}


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 4, 17, 30])
def test_evaluation_sees_every_image_exactly_once_over_all_ranks(length: int, world: int) -> None:
    samplers = [EvaluationBatchSampler(length, 4, rank, world) for rank in range(world)]
    batches = [list(sampler) for sampler in samplers]
    seen = [position for part in batches for positions in _positions(part) for position in positions]
    assert sorted(seen) == list(range(length))
    assert [len(part) for part in batches] == [len(sampler) for sampler in samplers]


def test_frameworks_find_set_epoch() -> None:
    sampler = ResumableBatchSampler(20, 4, seed=5)
    sampler.sampler.set_epoch(3)
    assert next(iter(sampler))[0].epoch == 3


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(UserError, match="has 3 image.s., too few for one batch of 4"):
        ResumableBatchSampler(3, 4, seed=0)
    with pytest.raises(UserError, match="too few"):
        ResumableBatchSampler(1, 4, seed=0, drop_last=False, rank=0, world=2)


@pytest.mark.parametrize(("batch_size", "rank", "world"), [(0, 0, 1), (5, 0, 2), (4, 2, 2), (4, -1, 2)])
def test_impossible_shares_are_refused(batch_size: int, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        ResumableBatchSampler(20, batch_size, seed=0, rank=rank, world=world)
