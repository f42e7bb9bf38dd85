import torch

from cascade_exit.data import Sample, collate


def _sample(image_id: int, boxes: list[list[float]], crowd: list[bool]) -> Sample:
    return Sample(
        image=torch.full((3, 32, 32), image_id, dtype=torch.uint8),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(1, len(boxes) + 1),
        crowd=torch.tensor(crowd, dtype=torch.bool),
        image_id=image_id,
        original_size=(10 * image_id, 20 * image_id),
    )


def test_collate_pads_with_label_zero() -> None:
    batch = collate(
        [
            _sample(1, [[0, 1, 2, 3]], [False]),
            _sample(2, [], []),
            _sample(3, [[4, 5, 6, 7], [1, 1, 2, 2]], [False, True]),
        ]
    )
    assert len(batch) == 3
    assert batch.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert batch.targets.labels.tolist() == [[1, 0], [0, 0], [1, 2]]
    assert batch.targets.crowd.tolist() == [[False, False], [False, False], [False, True]]
    assert batch.targets.boxes[2].tolist() == [[4, 5, 6, 7], [1, 1, 2, 2]]
    assert batch.targets.boxes[0, 1].tolist() == [0, 0, 0, 0]
    assert batch.image_ids.tolist() == [1, 2, 3]
    assert batch.original_sizes.tolist() == [[10, 20], [20, 40], [30, 60]]


def test_a_batch_of_empty_images_still_has_one_padded_row() -> None:
    batch = collate([_sample(1, [], []), _sample(2, [], [])])
    assert batch.targets.labels.tolist() == [[0], [0]]


def test_a_batch_moves_as_a_whole() -> None:
    moved = collate([_sample(1, [[0, 1, 2, 3]], [False])]).to("meta")
    assert {
        tensor.device.type
        for tensor in (
            moved.images,
            moved.targets.boxes,
            moved.targets.labels,
            moved.targets.crowd,
            moved.image_ids,
            moved.original_sizes,
        )
    } == {"meta"}
