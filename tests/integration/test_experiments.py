"""Every experiment composes, validates, and runs one step on rooms with its classes put in."""

import json

import pytest
from torchvision.models._utils import _make_divisible

from cascade_exit.config import TrainConfig
from cascade_exit.config.app import compose
from cascade_exit.data import ImageStore, load_roles
from cascade_exit.data.rooms.config import COCO_CATEGORY_IDS
from cascade_exit.runs import build, open_run
from cascade_exit.tracking import finish_logger, make_logger
from cascade_exit.training import CascadeModule, TrainingSets, find_start, fit
from tests.conftest import REPOSITORY

EXPERIMENTS = sorted(path.stem for path in (REPOSITORY / "conf" / "experiment").glob("*.yaml"))
# Whatever it is made for, an experiment must also start from nothing, on a CPU, at a small size.
SMALL = [
    "model.input.size_px=96",
    "trainer.batch_size=4",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.progress=false",
    "callbacks.pictures=1",
    "optimizer.frozen_features=0",
    "logger=csv",
]


def test_the_contract_s_experiments_are_there():
    assert {
        "debug_rooms",
        "demo",
        "static_chair",
        "single_exit_chair",
        "plan_chair",
        "phase1_chair",
        "fast_chair",
        "static_multi13",
        "phase3_multi13",
        "fast_multi13",
    } <= set(EXPERIMENTS)


def test_half_a_tail_is_the_same_backbone_up_to_stride_16():
    looks = build(TrainConfig, compose("train", ["experiment=fast_multi13", "init=some.pt"])).model
    whole, half = looks.backbone.table, looks.looks["exit1"].backbone.table
    tail = [row[6] for row in whole].index(2, 7)  # of the stride to 32
    assert half[:tail] == whole[:tail]
    assert [row[2] for row in half[tail:]] == [whole[tail][2], *(row[2] // 2 for row in whole[tail + 1 :])]
    assert [row[3] for row in half[tail:]] == [_make_divisible(row[3] / 2, 8) for row in whole[tail:]]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_one_step(name, rooms, tmp_path):
    as_given = build(TrainConfig, compose("train", [f"experiment={name}", "init=some.pt"]))
    periods = sum(getattr(as_given.schedule, part).share > 0 for part in ("static", "exits", "joint"))
    drawn = [class_ for class_ in as_given.data.classes if class_ in COCO_CATEGORY_IDS]  # rooms hold no cars
    classes = f"data.classes=[{','.join(drawn)}]"
    # Rooms of other classes are another set, in a folder of its own.
    root = f"{rooms[0]}_{'_'.join(drawn).replace(' ', '')}"
    words = [f"experiment={name}", "init=some.pt", "data=rooms", root, *rooms[1:], classes, *SMALL]
    words += [f"trainer.max_epochs={periods}"]
    words += [f"model.looks.{look}.size_px=64" for look in as_given.model.looks]
    config = build(TrainConfig, compose("train", words))
    sets = load_roles(config.data, ("train", "val"))
    with open_run("train", config, command=name, root=tmp_path) as run:
        logger = make_logger(config.logger, run)
        training = TrainingSets(sets["train"], sets["val"], ImageStore(), 0)
        best = fit(config, training, find_start("init", "scratch", config.model, tmp_path), run, logger)
        finish_logger(logger, 0)
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(periods))
    assert best.exists()
    module = CascadeModule(config, config.data.classes)
    assert set(module.detector.exit_names) == {key.split("/")[1] for key in rows[-1] if key.endswith("/AR100")} or (
        not any(len(record.labels) for record in sets["val"].records[:4])
    )
