"""The evaluator judges an epoch, and says when a low loss means nothing."""

from pathlib import Path
from unittest.mock import Mock

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from cascade_exit.data import Batch, ClassMap, CocoSet, ImageRecord
from cascade_exit.model import Detections
from cascade_exit.runs import Record, open_run
from cascade_exit.training import CallbacksConfig
from cascade_exit.training.callbacks import MONITOR, ExitEvaluator

BOX = torch.tensor([[10.0, 10.0, 60.0, 70.0]])
TRAINER = Mock(
    spec=pl.Trainer, is_global_zero=True, sanity_checking=False, limit_val_batches=1.0, current_epoch=0, global_step=5
)


def record(image_id):
    return ImageRecord(
        image_id=image_id,
        path=Path("none.jpg"),
        width=100,
        height=100,
        group=str(image_id),
        boxes=BOX.numpy(),
        labels=np.ones(1, np.int64),
        crowd=np.zeros(1, bool),
        areas=np.full(1, 3000, np.float32),
    )


def epoch(evaluator, losses, found):
    """One epoch of two training batches and both validation images; gives what is logged."""
    module, logged = Mock(spec=pl.LightningModule), {}
    module.log_dict = lambda row, **_: logged.update(row)
    for _ in range(2):
        terms = {f"{name}/{part}": torch.tensor(loss / 2) for name, loss in losses.items() for part in PARTS}
        evaluator.on_train_batch_end(TRAINER, module, {"terms": terms | {"distill": torch.tensor(9.0)}}, None, 0)
    evaluator.on_validation_epoch_start(TRAINER, module)
    outputs = {
        "detections": {name: [detections] * 2 for name, detections in found.items()},
        "confidence": {name: torch.zeros(2) for name in found},
    }
    evaluator.on_validation_batch_end(TRAINER, module, outputs, Mock(spec=Batch, image_ids=torch.tensor([1, 2])), 0)
    evaluator.on_validation_epoch_end(TRAINER, module)
    return logged


PARTS = ("classification", "localization")
NOTHING = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
ALL = Detections(BOX, torch.ones(1), torch.ones(1, dtype=torch.int64))


@pytest.fixture
def evaluator(tmp_path):
    with open_run("train", CallbacksConfig(), command="", root=tmp_path) as run:
        val = CocoSet((record(1), record(2)), ClassMap(("chair",)))
        yield ExitEvaluator(val, ("exit1", "full"), run)


def test_a_loss_near_zero_with_no_detections_warns_of_that_exit_alone(evaluator, capsys):
    logged = epoch(evaluator, {"exit1": 2e-8, "full": 2e-8}, {"exit1": NOTHING, "full": ALL})
    assert (logged["val/exit1/AP"], logged["val/full/AP"], logged[MONITOR]) == (0, pytest.approx(1), pytest.approx(0.5))
    (warning,) = evaluator.run.manifest.warnings
    assert warning.startswith("exit1: loss 2.0e-08 is near zero while AP is 0.0000")
    assert "everything is background" in capsys.readouterr().err.replace("\n", " ")


def test_neither_an_honest_loss_nor_an_exit_that_does_not_learn_warns(evaluator):
    epoch(evaluator, {"exit1": 3.0}, {"exit1": NOTHING, "full": NOTHING})
    assert evaluator.run.manifest.warnings == []
    epoch(evaluator, {"exit1": 2e-8}, {"exit1": NOTHING, "full": NOTHING})
    assert len(evaluator.run.manifest.warnings) == 1


def train_batch(evaluator, **terms):
    outputs = {"terms": {name.replace("_", "/"): torch.tensor(value) for name, value in terms.items()}}
    evaluator.on_train_batch_end(TRAINER, Mock(spec=pl.LightningModule), outputs, None, 0)


def test_the_record_holds_the_mean_of_each_term_over_the_epoch(evaluator, tmp_path):
    train_batch(evaluator, full_classification=4.0, distill=1.0)
    # Killed here; a new process goes on from the checkpoint.
    kept = evaluator.state_dict()
    torch.save(kept, tmp_path / "kept.pt")
    fresh = ExitEvaluator(CocoSet((record(1), record(2)), ClassMap(("chair",))), ("exit1", "full"), evaluator.run)
    fresh.load_state_dict(torch.load(tmp_path / "kept.pt", weights_only=True))
    train_batch(fresh, full_classification=1.0, distill=0.5)
    epoch(fresh, {}, {"exit1": NOTHING, "full": NOTHING})
    epoch(fresh, {"full": 2.0}, {"exit1": NOTHING, "full": NOTHING})
    first, second = Record(evaluator.run.folder / "metrics.jsonl").read()
    # Four batches: two of our own, two of the epoch's, which add 9 each to distill alone.
    assert (first["train/full/classification"], first["train/distill"]) == (1.25, 19.5 / 4)
    assert (second["train/full/classification"], second["train/distill"]) == (1.0, 9.0)
    assert "train/full/localization" not in first
