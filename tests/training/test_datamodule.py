"""That training takes its images as `sampling` says, in each process of several."""

from types import SimpleNamespace

import pytest

from cascade_exit.data import AugmentConfig, ImageStore, InputConfig, SamplingConfig
from cascade_exit.data.sampler import ResumableBatchSampler
from cascade_exit.data.sampling import repeat_factors
from cascade_exit.training.datamodule import CascadeData
from tests.data.test_sampling import coco_set

# One image in ten holds what is rare.
IMAGES = coco_set(*[[1]] * 36, *[[2]] * 4)


@pytest.mark.parametrize("rank", [0, 1])
def test_rare_images_come_more_often_in_every_process(rank: int) -> None:
    sampling = SamplingConfig("repeat_factor", threshold=0.4)
    data = CascadeData(IMAGES, IMAGES, ImageStore(), InputConfig(96), AugmentConfig(), sampling, 4, seed=3, workers=0)
    device = SimpleNamespace(root_device=SimpleNamespace(type="cpu"))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=2, strategy=device)
    expected = ResumableBatchSampler(40, 4, 3, rank=rank, world=2, factors=repeat_factors(IMAGES, 0.4))
    found = data.train_dataloader().batch_sampler
    assert [list(batch) for batch in found] == [list(batch) for batch in expected]
    assert len(found) == 11  # 36 images once, 4 twice
