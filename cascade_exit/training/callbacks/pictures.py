"""Per epoch: what each exit sees on a few images, and how its confidence is spread."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from cascade_exit.data import Batch, CocoSet, ImageStore
from cascade_exit.evaluation import DetectionArrays, confidence_distribution
from cascade_exit.runs import atomic_path
from cascade_exit.tracking import log_histogram, log_image
from cascade_exit.visualization import confidence_histograms, save_exit_grid, spread_ids

GRID, HISTOGRAMS = "exits.png", "confidence.png"


class ExitPictures(pl.Callback):
    """Writes `figures/epoch_NNN/exits.png` and `confidence.png`, and hands them to the logger.

    Args:
        val: validation images; the grid shows evenly spread ones, with objects first.
        store: where decoded images come from.
        exit_names: from shallow to deep.
        folder: the run's `figures`.
        count: images in the grid; 0: no pictures.
    """

    def __init__(self, val: CocoSet, store: ImageStore, exit_names: tuple[str, ...], folder: Path, count: int) -> None:
        self.val, self.store, self.exit_names, self.folder = val, store, exit_names, folder
        self.shown = frozenset(spread_ids(val, count))
        self._found: dict[int, dict[str, Any]] = {}
        self._confidence: dict[str, list[Tensor]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets the epoch before."""
        self._found, self._confidence = {}, {name: [] for name in self.exit_names}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the confidences, and the detections of the images that will be shown."""
        for name, values in outputs["confidence"].items():
            self._confidence[name].append(values.float().cpu())
        for index, image_id in enumerate(batch.image_ids.tolist()):
            if image_id in self.shown:
                self._found[image_id] = {
                    name: DetectionArrays.from_tensors(found[index]) for name, found in outputs["detections"].items()
                }

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the distributions and draws. Of several processes the first draws what it saw itself."""
        if trainer.sanity_checking:
            return
        values = {name: torch.cat(parts).numpy() for name, parts in self._confidence.items() if parts}
        self._log_spread(values, pl_module)
        if trainer.is_global_zero and self.shown and trainer.logger is not None:
            self._draw(values, trainer)

    def _log_spread(self, values: dict[str, np.ndarray], pl_module: pl.LightningModule) -> None:
        row = {}
        for name, of_exit in values.items():
            distribution = confidence_distribution(of_exit.clip(0, 1))
            if distribution is not None:
                row[f"val/{name}/mean_confidence"] = distribution.mean
                row[f"val/{name}/std_confidence"] = distribution.std
        pl_module.log_dict(row, on_epoch=True, sync_dist=True, batch_size=1)

    def _draw(self, values: dict[str, np.ndarray], trainer: pl.Trainer) -> None:
        assert trainer.logger is not None
        folder, step = self.folder / f"epoch_{trainer.current_epoch:03d}", trainer.global_step
        folder.mkdir(parents=True, exist_ok=True)
        found = {name: {key: one[name] for key, one in self._found.items()} for name in self.exit_names}
        if self._found:
            save_exit_grid(self.val, self.store, found, sorted(self._found), folder / GRID)
            log_image(trainer.logger, "val/exits", folder / GRID, step)
        figure = confidence_histograms(values)
        with atomic_path(folder / HISTOGRAMS) as path:
            figure.savefig(path, format="png", dpi=120)
        log_image(trainer.logger, "val/confidence", folder / HISTOGRAMS, step)
        for name, of_exit in values.items():
            log_histogram(trainer.logger, f"val/{name}/confidence", of_exit, step)
