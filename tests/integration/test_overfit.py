"""Eight images learnt by heart: every exit must reach AP50 0.99, or something between pixels and AP is wrong."""

import pytest
import torch

from cascade_exit.data import (
    AugmentConfig,
    ImageStore,
    InputConfig,
    ResumableBatchSampler,
    load_role,
    training_loader,
)
from cascade_exit.data.config import DataConfig
from cascade_exit.model import DecodingConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import build
from cascade_exit.runtime import Detector, detect_set
from cascade_exit.training import CascadeModule, TrainingConfig

STEPS = 300
ROOMS = {
    "images": {"train": 8, "val": 1, "calibrate": 1, "test": 1},
    # One chair each: of two objects with the same best anchor an SSD can learn only one.
    "difficulty_mix": {"empty": 0.0, "simple": 1.0, "crowded": 0.0},
}
EXITS = {"exit1": {"after": 8, "channels": 64, "depth": 2}, "exit2": {"after": 14, "channels": 64, "depth": 2}}
CONFIG = {
    "model": {"input": {"size_px": 192}, "backbone": {"width": 0.5}, "exits": EXITS},
    "loss": {"trunk_gradient": {}, "diversity": {"weight": 0.0}, "cascade": {"weight": 0.0}},
}


@pytest.mark.slow
def test_every_exit_learns_eight_images_by_heart(tmp_path):
    config = build(TrainingConfig, CONFIG)
    images = load_role(build(DataConfig, {"name": "rooms", "root": str(tmp_path), "rooms": ROOMS}), "train")
    store, sampler = ImageStore(cache=True), ResumableBatchSampler(len(images), 8, seed=0)
    loader = training_loader(images, store, InputConfig(size_px=192), AugmentConfig(kind="none"), sampler)
    batch = next(iter(loader))
    torch.manual_seed(0)
    module = CascadeModule(config, ("chair",)).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        module.criterion(module.detector(batch.images), batch.targets).total.backward()
        optimizer.step()
        schedule.step()
    # Statistics of the last batches weigh little in a running mean of momentum 0.03: let it settle on these images.
    with torch.no_grad():
        for _ in range(100):
            module.detector(batch.images)
    state = module.detector.state_dict()
    detector = Detector(Checkpoint(config.model, images.class_map, DecodingConfig(), state))
    exits = detect_set(detector, images, store).compute()
    assert {name: round(figures["AP50"], 3) for name, figures in exits.items() if figures["AP50"] < 0.99} == {}
