from pathlib import Path

import torch
from PIL import Image

from cascade_exit.data import ClassMap, CocoSet, ImageStore, InputConfig, read_inputs, resize_image

from .scenes import paint, record


def test_images_at_input_size_spread_over_the_set(tmp_path: Path) -> None:
    records, pictures = [], []
    for number in range(5):
        pictures.append(paint(30, 40, [(5 * number, 4, 5 * number + 8, 20)]))
        path = tmp_path / f"{number}.png"
        Image.fromarray(pictures[-1]).save(path)
        records.append(record(path, (30, 40), image_id=number))
    images, config = CocoSet(tuple(records), ClassMap(("chair",))), InputConfig(size_px=32)
    found = read_inputs(images, ImageStore(), config, 3)
    expected = [resize_image(torch.tensor(pictures[place]).permute(2, 0, 1), config) for place in (0, 2, 4)]
    assert torch.equal(found, torch.stack(expected))
    assert len(read_inputs(images, ImageStore(), config, 9)) == 5
