"""CSV and TensorBoard: what is logged stands in their files."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_exit.runs import UserError
from cascade_exit.tracking import LoggerConfig, finish_logger, log_histogram, log_image, make_logger
from tests.tracking.stand_ins import a_run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grid.png"
    pixels = np.zeros((6, 9, 3), dtype=np.uint8)
    pixels[:, :, 0] = 200
    Image.fromarray(pixels).save(path)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_keeps_the_rows_of_every_try(tmp_path: Path, picture: Path) -> None:
    run_dir = tmp_path / "run"
    for number in (1, 2):
        logger = make_logger(LoggerConfig(name="csv"), a_run(tmp_path / "run", config={"seed": 3}))
        logger.log_metrics({"val/full/AP": number / 4}, step=number)
        logger.log_metrics({"val/exit1/AP": number / 8}, step=number)
        log_image(logger, "val/grid", picture, step=1)
        log_histogram(logger, "val/exit1/confidence", np.arange(3.0), step=1)
        assert len(rows(run_dir / "csv" / f"version_{number - 1}" / "metrics.csv")) == 2, "a kill must lose no row"
        finish_logger(logger, exit_code=number - 1)
    assert rows(run_dir / "csv/version_0/metrics.csv") == [
        {"step": "1", "val/full/AP": "0.25", "val/exit1/AP": ""},
        {"step": "1", "val/full/AP": "", "val/exit1/AP": "0.125"},
    ]
    assert rows(run_dir / "csv/version_1/metrics.csv")[0]["val/full/AP"] == "0.5"
    assert (run_dir / "csv/version_0/hparams.yaml").read_text() == "seed: 3\n"
    assert sorted(path.name for path in run_dir.iterdir()) == ["csv", "manifest.json"]


def test_tensorboard_shows_figures_pictures_and_distributions(tmp_path: Path, picture: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_dir = tmp_path / "run"
    logger = make_logger(LoggerConfig(name="tensorboard"), a_run(run_dir, config={"seed": 3}))
    logger.log_metrics({"val/full/AP": 0.25}, step=7)
    log_image(logger, "val/grid", picture, step=8)
    log_histogram(logger, "val/exit1/confidence", np.array([0.0, np.inf, 1.0]), step=9)
    log_histogram(logger, "val/exit1/nothing", np.array([]), step=9)
    finish_logger(logger, exit_code=0)

    assert sorted(path.name for path in run_dir.iterdir()) == ["manifest.json", "tensorboard"]
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/full/AP")] == [(7, 0.25)]
    (image,) = events.Images("val/grid")
    assert (image.step, image.width, image.height) == (8, 9, 6)
    (histogram,) = events.Histograms("val/exit1/confidence")
    assert (histogram.step, histogram.histogram_value.num, histogram.histogram_value.sum) == (9, 2, 1)
    assert events.Tags()["histograms"] == ["val/exit1/confidence"]


def test_without_tensorboard_the_way_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cascade_exit.tracking import loggers

    def absent(*_arguments: object, **_options: object) -> None:
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr(loggers, "TensorBoardLogger", absent)
    with pytest.raises(UserError, match="pip install tensorboard, or give logger=csv"):
        make_logger(LoggerConfig(name="tensorboard"), a_run(tmp_path))


def test_csv_needs_no_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = make_logger(LoggerConfig(name="csv"), a_run(tmp_path))
    log_histogram(logger, "x", np.arange(3.0), step=1)
    finish_logger(logger, 0)
