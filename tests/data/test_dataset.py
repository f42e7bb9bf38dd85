from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.data import (
    AugmentConfig,
    Batch,
    ClassMap,
    CocoSet,
    EvaluationBatchSampler,
    ImageStore,
    InputConfig,
    ResumableBatchSampler,
    evaluation_loader,
    training_loader,
)
from cascade_exit.data.dataset import DetectionDataset
from cascade_exit.data.sampler import SampleKey

from .scenes import COLOURS, extent, paint, pixels_of, record

INPUT = InputConfig(size_px=64)
SIZES = [(40, 60), (60, 40), (50, 50), (48, 64), (64, 48), (40, 90)]


@pytest.fixture
def coco_set(tmp_path: Path) -> CocoSet:
    records = []
    for number, (height, width) in enumerate(SIZES):
        boxes = [[5, 4, 30, 24], [10, 26, 34, 38]][: number % 3]
        path = tmp_path / f"{number}.png"
        Image.fromarray(paint(height, width, boxes)).save(path)
        records.append(record(path, (height, width), boxes, image_id=number + 100, crowd=[False, True][: len(boxes)]))
    return CocoSet(tuple(records), ClassMap(("chair", "dog")))


def _equal(first: Batch, second: Batch) -> bool:
    pairs = [
        (first.images, second.images),
        (first.targets.boxes, second.targets.boxes),
        (first.targets.labels, second.targets.labels),
        (first.targets.crowd, second.targets.crowd),
        (first.image_ids, second.image_ids),
        (first.original_sizes, second.original_sizes),
    ]
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_samples_are_resized_with_boxes_on_their_pixels(coco_set: CocoSet, resize: str) -> None:
    dataset = DetectionDataset(coco_set, InputConfig(size_px=128, resize=resize), ImageStore())
    for position, of_record in enumerate(coco_set.records):
        sample = dataset[SampleKey(0, position)]
        assert sample.image.shape == (3, 128, 128)
        assert sample.image_id == of_record.image_id
        assert sample.original_size == SIZES[position]
        assert sample.crowd.tolist() == of_record.crowd.tolist()
        for box, label in zip(sample.boxes, sample.labels.tolist(), strict=True):
            found = extent(pixels_of(sample.image.permute(1, 2, 0).numpy(), COLOURS[label - 1]))
            np.testing.assert_allclose(box, found, atol=1.5)


@pytest.mark.parametrize("kind", ["none", "image", "batch"])
def test_workers_change_no_byte(coco_set: CocoSet, kind: str) -> None:
    batches: list[list[Batch]] = []
    for workers, cache in ((0, False), (2, True)):
        sampler = ResumableBatchSampler(len(coco_set), 2, seed=3)
        loader = training_loader(
            coco_set, ImageStore(cache), INPUT, AugmentConfig(kind=kind, zoom_out_probability=0.5), sampler, workers
        )
        torch.manual_seed(workers)
        seen = []
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            seen += list(loader)
        batches.append(seen)
    assert len(batches[0]) == 6
    assert all(_equal(first, second) for first, second in zip(*batches, strict=True))


def test_resuming_within_an_epoch_gives_the_same_bytes(coco_set: CocoSet) -> None:
    def loader(sampler: ResumableBatchSampler) -> list[Batch]:
        return list(training_loader(coco_set, ImageStore(), INPUT, AugmentConfig(), sampler))

    whole, resumed = (ResumableBatchSampler(len(coco_set), 2, seed=3) for _ in range(2))
    whole.set_epoch(4)
    resumed.resume_at(epoch=4, batch=1)
    expected, rest = loader(whole)[1:], loader(resumed)
    assert len(rest) == 2
    assert all(_equal(first, second) for first, second in zip(expected, rest, strict=True))


def test_augmentation_changes_with_epoch_seed_and_image(coco_set: CocoSet) -> None:
    def images(seed: int, epoch: int, kind: str = "image") -> dict[int, torch.Tensor]:
        sampler = ResumableBatchSampler(len(coco_set), 6, seed=seed)
        sampler.set_epoch(epoch)
        (batch,) = training_loader(coco_set, ImageStore(), INPUT, AugmentConfig(kind=kind), sampler)
        return dict(zip(batch.image_ids.tolist(), batch.images, strict=True))

    base = images(1, 0)
    assert all(torch.equal(image, base[key]) for key, image in images(1, 0).items())
    for other in (images(1, 1), images(2, 0)):
        assert sum(torch.equal(image, base[key]) for key, image in other.items()) < 3
    plain, left_to_batch = images(1, 0, "none"), images(1, 5, "batch")
    assert all(torch.equal(image, plain[key]) for key, image in left_to_batch.items())


def test_evaluation_is_in_order_and_not_augmented(coco_set: CocoSet) -> None:
    loader = evaluation_loader(coco_set, ImageStore(), INPUT, EvaluationBatchSampler(len(coco_set), 4), workers=1)
    batches = list(loader)
    assert [batch.image_ids.tolist() for batch in batches] == [[100, 101, 102, 103], [104, 105]]
    dataset = DetectionDataset(coco_set, INPUT, ImageStore())
    images = torch.cat([batch.images for batch in batches])
    assert all(torch.equal(image, dataset[SampleKey(0, row)].image) for row, image in enumerate(images))
    assert torch.cat([batch.original_sizes for batch in batches]).tolist() == [list(size) for size in SIZES]


def test_loading_takes_nothing_from_the_global_random_state(coco_set: CocoSet) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    sampler = ResumableBatchSampler(len(coco_set), 3, seed=0)
    list(training_loader(coco_set, ImageStore(), INPUT, AugmentConfig(), sampler))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_cached_image_is_not_changed_by_its_use(coco_set: CocoSet) -> None:
    store = ImageStore(cache=True)
    before = [store.read(of_record).copy() for of_record in coco_set.records]
    boxes = [of_record.boxes.copy() for of_record in coco_set.records]
    sampler = ResumableBatchSampler(len(coco_set), 6, seed=0)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        list(training_loader(coco_set, store, INPUT, AugmentConfig(photometric_probability=1.0), sampler))
    for of_record, image, box in zip(coco_set.records, before, boxes, strict=True):
        assert (store.read(of_record) == image).all()
        assert (of_record.boxes == box).all()
