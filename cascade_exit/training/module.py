"""The LightningModule: it wires model, loss and schedule together, and does nothing else."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from cascade_exit.data import Batch, BatchAugmenter
from cascade_exit.losses import CascadeCriterion
from cascade_exit.model import CascadeDetector, Detections, ExitOutput, decode_exits, mean_confidence
from cascade_exit.runs import to_plain
from cascade_exit.training.config import TrainerConfig, TrainingConfig
from cascade_exit.training.schedule import Schedule


class CascadeModule(pl.LightningModule):
    """Trains a `CascadeDetector`.

    Checkpoints hold what rebuilds the detector as plain values: `model`, `classes`, `decoding`.

    Args:
        config: network, loss, rates and schedule.
        classes: names of the frozen class map; label i + 1 is classes[i].
        boxes_per_class: boxes of each class in the training data, where `loss.class_balance_beta` asks for them.
    """

    def __init__(
        self, config: TrainingConfig, classes: tuple[str, ...], boxes_per_class: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        # Plain values only: anything else would make the checkpoint unreadable with weights_only=True.
        self.save_hyperparameters(
            {"model": to_plain(config.model), "classes": list(classes), "decoding": to_plain(config.decoding)},
            logger=False,
        )
        self.config = config
        self.detector = CascadeDetector(config.model, len(classes))
        exit_names = self.detector.exit_names
        anchors = {name: grid.boxes for name, grid in self.detector.grids.items()}
        self.criterion = CascadeCriterion(config.loss, anchors, exit_names, boxes_per_class)
        full_teaches = config.loss.distill.weight > 0
        self.schedule = Schedule(config.schedule, config.trainer.max_epochs, exit_names, full_teaches)
        batchwise = config.augment.kind == "batch"
        self.augmenter = BatchAugmenter(config.augment, config.model.input, config.seed) if batchwise else None
        self.memory_format = _memory_format(config.trainer)
        self.detector.to(memory_format=self.memory_format)
        # Before DDP looks at the parameters: what never learns must not be waited for.
        for trunk in self.detector.trunks:
            trunk.features[: config.optimizer.frozen_features].requires_grad_(False)

    def on_train_start(self) -> None:
        """A run shorter than the logging interval logs each epoch's last batch."""
        self.trainer.log_every_n_steps = min(self.trainer.log_every_n_steps, int(self.trainer.num_training_batches))  # type: ignore[attr-defined]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Loss of one batch; returns its terms for the callbacks."""
        period = self.schedule.period_at(self.current_epoch)
        if self.augmenter is not None:
            batch = self.augmenter(batch, self.current_epoch)
        outputs = self.detector(
            batch.images.contiguous(memory_format=self.memory_format),
            exits=self.schedule.runs(period),
            trunk_gradient=self.config.loss.trunk_gradient,
        )
        loss = self.criterion(outputs, batch.targets, active=self.schedule.learns(period))
        terms = {name: term.detach() for name, term in loss.terms.items()}
        logged = {"train/loss": loss.total.detach()} | {f"train/{name}": term for name, term in terms.items()}
        self.log_dict(logged, on_step=True, on_epoch=False, batch_size=len(batch.images))
        return {"loss": loss.total, "terms": terms}

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """What every exit says about one batch; the callbacks judge it."""
        outputs: dict[str, ExitOutput] = self.detector(batch.images.contiguous(memory_format=self.memory_format))
        return {
            "detections": self._decode(outputs, batch.original_sizes),
            "confidence": {name: mean_confidence(output.class_logits) for name, output in outputs.items()},
        }

    def _decode(self, outputs: dict[str, ExitOutput], original_sizes: Tensor) -> dict[str, list[Detections]]:
        # On the CPU: post-processing is hundreds of tiny steps whose sizes depend on the values before, and a GPU
        # would be waited for at each of them.
        outputs = {name: ExitOutput(*(part.cpu() for part in output)) for name, output in outputs.items()}
        model = self.detector.config
        return decode_exits(outputs, self.detector.grids, model, original_sizes.cpu(), self.config.decoding)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with the trunks in groups of their own, and the schedule's learning rate."""
        optimizer = torch.optim.AdamW(self._parameter_groups(), lr=self.config.optimizer.lr)
        epochs = self.trainer.max_epochs or 1
        steps_per_epoch = max(1, int(self.trainer.estimated_stepping_batches) // epochs)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule.lr_factor(step, steps_per_epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        config, groups = self.config.optimizer, []
        for place, scale in (("trunk", config.trunk_lr_scale), ("rest", 1.0)):
            named = [
                (name, parameter)
                for name, parameter in self.detector.named_parameters()
                if ("trunk" in name.split(".")) == (place == "trunk")
            ]
            # Norms and biases are vectors; decaying them only costs accuracy.
            for kind, decay in (("weights", config.weight_decay), ("vectors", 0.0)):
                chosen = [p for _, p in named if (p.ndim > 1) == (kind == "weights")]
                groups.append(
                    {"params": chosen, "lr": config.lr * scale, "weight_decay": decay, "name": f"{place}_{kind}"}
                )
        return groups


def _memory_format(settings: TrainerConfig) -> torch.memory_format:
    # On the CPU, torch's bfloat16 gradient of a depthwise convolution on a 1x1 map reads memory that nobody wrote,
    # but only channels last (seen in 2.15): a rare NaN.
    on_cpu = settings.accelerator == "cpu" or not torch.accelerator.is_available()
    unsafe = settings.precision == "bf16-mixed" and on_cpu
    return torch.channels_last if settings.channels_last and not unsafe else torch.contiguous_format
