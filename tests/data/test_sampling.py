from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade_exit.data import (
    AugmentConfig,
    BatchAugmenter,
    ClassMap,
    CocoSet,
    ImageRecord,
    ImageStore,
    InputConfig,
    ResumableBatchSampler,
    SamplingConfig,
    image_factors,
    training_loader,
)
from cascade_exit.data.sampling import draw_repeats, epoch_length, repeat_factors

FACTORS = [1.0, 1.0, 2.5, 1.0, 1.3, 3.7, 1.0, 1.05, 1.0, 2.0]


def record(image_id: int, labels: list[int], crowd: list[bool] | None = None) -> ImageRecord:
    boxes = np.tile(np.array([[1, 2, 30, 40]], np.float32), (len(labels), 1))
    flags = np.array(crowd or [False] * len(labels), dtype=bool)
    areas = np.ones(len(labels), np.float32)
    labels_of = np.array(labels, np.int64)
    return ImageRecord(image_id, Path(f"{image_id}.png"), 64, 48, str(image_id), boxes, labels_of, flags, areas)


def coco_set(*labels: list[int], classes: tuple[str, ...] = ("a", "b", "c")) -> CocoSet:
    return CocoSet(tuple(record(i, each) for i, each in enumerate(labels)), ClassMap(classes))


def test_factors_are_those_of_the_paper() -> None:
    # Sixteen images: a on eight (twice on one of them), b on four, c on one, which holds b as well; six are empty.
    labels = [[1, 1], *[[1]] * 5, [1, 2], [1, 2], [2], [2, 3], *[[]] * 6]
    images = coco_set(*labels)
    rare_b, rare_c = (0.5 / (4 / 16)) ** 0.5, (0.5 / (1 / 16)) ** 0.5
    expected = [1.0] * 6 + [rare_b] * 3 + [rare_c] + [1.0] * 6
    assert repeat_factors(images, 0.5) == pytest.approx(expected)
    # Nothing is rare below the rarest class's share.
    assert repeat_factors(images, 1 / 16) == [1.0] * 16
    assert image_factors(images, SamplingConfig("repeat_factor", 0.5)) == pytest.approx(expected)
    assert image_factors(images, SamplingConfig("uniform", 0.5)) is None


def test_crowds_and_classes_without_boxes_make_nothing_rare() -> None:
    images = CocoSet((record(0, [1]), record(1, [1, 2], [False, True])), ClassMap(("a", "b", "never")))
    assert repeat_factors(images, 1.0) == [1.0, 1.0]
    assert images.boxes_per_class == (2, 0, 0)


def test_every_epoch_is_equally_long_and_counts_are_the_factor_rounded_down_or_up() -> None:
    total = sum(FACTORS)
    for epoch in range(200):
        counts = np.array(draw_repeats(FACTORS, 1, epoch))
        assert counts.sum() == epoch_length(FACTORS) == 16
        assert (np.abs(counts - np.array(FACTORS) * 16 / total) < 1).all()


def test_frequencies_over_epochs_are_the_factors() -> None:
    epochs = 4000
    counts = np.array([draw_repeats(FACTORS, 7, epoch) for epoch in range(epochs)])
    expected = np.array(FACTORS) * 16 / sum(FACTORS)
    # A count is one of two neighbouring whole numbers.
    share = expected % 1
    error = np.sqrt(share * (1 - share) / epochs)
    assert (np.abs(counts.mean(axis=0) - expected) < 4 * error + 1e-9).all()
    # Nobody's count follows a neighbour's.
    correlation = np.corrcoef(counts[:, 2], counts[:, 5])[0, 1]
    assert abs(correlation) < 0.2


def test_factors_of_one_are_the_plain_sampler() -> None:
    plain, weighted = ResumableBatchSampler(20, 4, 3), ResumableBatchSampler(20, 4, 3, factors=[1.0] * 20)
    for epoch in range(3):
        plain.set_epoch(epoch)
        weighted.set_epoch(epoch)
        assert list(plain) == list(weighted)


def test_repeats_are_numbered_and_drawn_by_seed_and_epoch() -> None:
    def epoch(seed: int, number: int) -> list[list]:
        sampler = ResumableBatchSampler(10, 4, seed, factors=FACTORS)
        sampler.set_epoch(number)
        assert len(list(sampler)) == len(sampler) == 4
        return list(sampler)

    keys = list(chain(*epoch(5, 2)))
    assert len(set(keys)) == 16
    for position, count in enumerate(draw_repeats(FACTORS, 5, 2)):
        assert sorted(key.repeat for key in keys if key.position == position) == list(range(count))
    assert epoch(5, 2) == epoch(5, 2)
    assert epoch(5, 2) != epoch(6, 2)
    assert draw_repeats(FACTORS, 5, 2) != draw_repeats(FACTORS, 5, 3)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_resuming_gives_the_rest_of_the_epoch_and_then_whole_ones(batch: int) -> None:
    whole, resumed = (ResumableBatchSampler(10, 4, 5, factors=FACTORS) for _ in range(2))
    resumed.resume_at(epoch=2, batch=batch)
    whole.set_epoch(2)
    assert list(resumed) == list(whole)[batch:]
    for sampler in (whole, resumed):
        sampler.set_epoch(3)
    assert list(resumed) == list(whole)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_epoch_between_them(world: int) -> None:
    alone = ResumableBatchSampler(10, 4, 5, factors=FACTORS)
    ranks = [ResumableBatchSampler(10, 4, 5, rank=rank, world=world, factors=FACTORS) for rank in range(world)]
    for epoch in range(5):
        for sampler in (alone, *ranks):
            sampler.set_epoch(epoch)
        steps = list(zip(*ranks, strict=True))
        assert len(steps) == len(ranks[0]) == len(alone)
        # In order, and so disjointly: an image that comes twice in a step has two numbers.
        assert [list(chain(*parts)) for parts in steps] == list(alone)


@pytest.mark.parametrize("kind", ["image", "batch"])
def test_an_image_that_comes_again_is_augmented_anew(kind: str, tmp_path: Path) -> None:
    class Grey(ImageStore):
        def read(self, record: ImageRecord) -> np.ndarray:
            return np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)

    augment = AugmentConfig(kind=kind, photometric_probability=1.0)
    images, input_config = coco_set([1], classes=("a",)), InputConfig(size_px=32)
    sampler = ResumableBatchSampler(1, 3, 0, factors=[3.0])
    (batch,) = training_loader(images, Grey(), input_config, augment, sampler)
    (first,) = training_loader(images, Grey(), input_config, augment, ResumableBatchSampler(1, 1, 0))
    if kind == "batch":
        batch, first = (BatchAugmenter(augment, input_config, 0)(each, 0) for each in (batch, first))
    assert sorted(batch.repeats.tolist()) == [0, 1, 2]
    by_repeat = dict(zip(batch.repeats.tolist(), batch.images, strict=True))
    assert not torch.equal(by_repeat[0], by_repeat[1])
    assert not torch.equal(by_repeat[1], by_repeat[2])
    # The first time it is what it would be if nothing came again.
    assert torch.equal(by_repeat[0], first.images[0])


@pytest.mark.parametrize("threshold", [0.0, 1.5, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\], got"):
        SamplingConfig("repeat_factor", threshold)
