"""Judges every exit on all validation images, and keeps the record of it."""

from collections import defaultdict
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from torch import Tensor

from cascade_exit.data import Batch, CocoSet
from cascade_exit.evaluation import ExitAP, ImageTruth
from cascade_exit.losses import trivial_loss_warnings
from cascade_exit.runs import Record, Run, UserError

# Mean over the exits: a checkpoint with one good exit and one bad is no good cascade.
MONITOR = "val/mean_AP"
LOGGED = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100", "ece", "nll")


class ExitEvaluator(pl.Callback):
    """Computes COCO AP of each exit after every epoch.

    Args:
        val: the images that choose the checkpoint.
        exit_names: from shallow to deep.
        run: whose record gets a row per epoch (measures on val, and the means of the loss's terms over this process's
            batches), and whose manifest gets the warnings.
    """

    def __init__(self, val: CocoSet, exit_names: tuple[str, ...], run: Run) -> None:
        truth = [ImageTruth.from_record(record) for record in val.records]
        self.metric = ExitAP(truth, val.class_map.names, exit_names)
        self.run = run
        self.record = Record(run.folder / "metrics.jsonl")
        self._term_sums: dict[str, Tensor | float] = defaultdict(float)
        self._batches = 0

    def state_dict(self) -> dict[str, Any]:
        """The sums of an epoch that is cut short, so that its means are those of the whole epoch."""
        return {"term_sums": dict(self._term_sums), "batches": self._batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the sums up again."""
        self._term_sums = defaultdict(float, state_dict["term_sums"])
        self._batches = state_dict["batches"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drops rows of epochs that will be run again."""
        if trainer.is_global_zero:
            self.record.truncate_after("step", trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds up the terms of the loss, without waiting for the device."""
        self._batches += 1
        for name, term in outputs["terms"].items():
            self._term_sums[name] = self._term_sums[name] + term

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets the epoch before."""
        self.metric.reset()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects what each exit found.

        Raises:
            UserError: training has diverged.
        """
        for name, values in outputs["confidence"].items():
            if not values.isfinite().all():
                raise UserError(
                    f"{name} answers with values that are no numbers in epoch {trainer.current_epoch}: training has "
                    f"diverged; lower optimizer.lr, set optimizer.gradient_clip, or give trainer.precision=32-true"
                )
        self.metric.update(batch.image_ids, outputs["detections"])

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Computes and logs the measures; all processes compute the same."""
        # A float is a share of the batches (all of them), an integer a number of batches.
        whole = not trainer.sanity_checking and isinstance(trainer.limit_val_batches, float)
        measures = self.metric.compute(require_all=whole)
        if trainer.sanity_checking:
            return
        row = {f"val/{name}/{key}": values[key] for name, values in measures.items() for key in LOGGED if key in values}
        found = [values["AP"] for values in measures.values() if "AP" in values]
        row[MONITOR] = sum(found) / len(found) if found else 0.0
        pl_module.log_dict(row, on_epoch=True, rank_zero_only=False, sync_dist=False, batch_size=1)
        if trainer.is_global_zero:
            terms = {name: float(total) / max(self._batches, 1) for name, total in self._term_sums.items()}
            losses = {f"train/{name}": mean for name, mean in terms.items()}
            self.record.write({"epoch": trainer.current_epoch, "step": trainer.global_step} | row | losses)
            self._raise_alarm(terms, {name: values.get("AP", -1.0) for name, values in measures.items()})
        self._term_sums.clear()
        self._batches = 0

    def _raise_alarm(self, terms: dict[str, float], average_precisions: dict[str, float]) -> None:
        losses: dict[str, float] = defaultdict(float)
        for name, mean in terms.items():
            exit_name, _, part = name.partition("/")
            if part in ("classification", "localization"):
                losses[exit_name] += mean
        for line in trivial_loss_warnings(losses, average_precisions):
            self.run.warn(line)
            Console(stderr=True).print(f"[bold yellow]Warning:[/] {line}")
