"""A small module, and a batch for it."""

from typing import Any

import torch

from cascade_exit.data import Batch, Targets
from cascade_exit.losses import LossConfig
from cascade_exit.model import ModelConfig
from cascade_exit.runs import build
from cascade_exit.training import CascadeModule, OptimizerConfig, ScheduleConfig, TrainerConfig, TrainingConfig

EXITS = {"exit1": {"after": 8, "channels": 16, "depth": 1}, "exit2": {"after": 14, "channels": 16, "depth": 1}}


def small_config(**settings: Any) -> TrainingConfig:
    """A cascade at 96 px on a 0.35 backbone; `settings` replace parts of the training config."""
    model = build(ModelConfig, {"input": {"size_px": 96}, "backbone": {"width": 0.35}, "exits": EXITS})
    parts: dict[str, Any] = {
        "model": model,
        "loss": LossConfig(),
        "optimizer": OptimizerConfig(),
        "schedule": ScheduleConfig(),
        "trainer": TrainerConfig(max_epochs=3, batch_size=4),
    }
    return TrainingConfig(**(parts | settings))


def small_module(**settings: Any) -> CascadeModule:
    """A module with fixed weights."""
    torch.manual_seed(0)
    return CascadeModule(small_config(**settings), ("chair",))


def small_batch() -> Batch:
    """Two images with an object each."""
    generator = torch.Generator().manual_seed(1)
    return Batch(
        images=torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8, generator=generator),
        targets=Targets(
            boxes=torch.tensor([[[10.0, 10, 60, 70]], [[30.0, 20, 90, 80]]]),
            labels=torch.ones(2, 1, dtype=torch.int64),
            crowd=torch.zeros(2, 1, dtype=torch.bool),
        ),
        image_ids=torch.tensor([1, 2]),
        original_sizes=torch.tensor([[96, 96], [96, 96]]),
        repeats=torch.zeros(2, dtype=torch.int64),
    )
