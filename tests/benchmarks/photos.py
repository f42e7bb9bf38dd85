"""Photos that benchmarks of kept models take."""

from collections.abc import Sequence

from torch import Tensor

from cascade_exit.config import EvaluateConfig, read_job
from cascade_exit.data import CocoSet, DataConfig, ImageStore, InputConfig, image_tensor, resize_image

TIMED_PHOTOS = 100


def data_config(model: str, settings: Sequence[str]) -> DataConfig:
    """The set that settings name, which are those of `evaluate`."""
    config = read_job("evaluate", EvaluateConfig, (f"run={model}", *settings)).data
    assert config is not None, "data is not set: give data=multi13 data.root=DIR, for example"
    return config


def timed_images(images: CocoSet, store: ImageStore, input: InputConfig) -> list[Tensor]:
    """The first photos of a set, each a batch of one [1, 3, size_px, size_px]."""
    return [resize_image(image_tensor(store.read(record)), input)[None] for record in images.records[:TIMED_PHOTOS]]
