"""What `describe` writes and says of a set whose content is known."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cascade_exit.apps.description import describe_anchors, describe_content, warnings_of
from cascade_exit.apps.description_tables import print_tables, together_table
from cascade_exit.config import DescribeConfig
from cascade_exit.data import ClassMap, CocoSet, DataConfig, ImageRecord, InputConfig
from cascade_exit.losses import LossConfig
from cascade_exit.model import ModelConfig
from tests.data.scenes import annotation, image, write_coco

NO_DUPLICATES = {"compared": 0, "of_one_colour": 0, "unreadable": [], "pairs": 0, "of_one_group": 0, "listed": []}


def write_picture(path: Path, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def described(cli, tmp_path_factory):
    """A set with 30 chairs and 12 dogs to train on, 11 chairs and a dog to test on, and one picture in both."""
    root = tmp_path_factory.mktemp("set")
    (root / "images").mkdir()
    for number in range(1, 21):
        write_picture(root / "images" / f"{number}.png", seed=3 if number == 15 else number)
    large, small = [40, 30, 80, 60], [10, 10, 6, 6]
    trained = [image(number, 160, 120, group=f"visit{number}") for number in range(1, 11)]
    chairs = [annotation(number, large, area=4800.0) for number in range(1, 11) for _ in range(3)]
    dogs = [annotation(number, small, 18, area=36.0) for number in (1, 2) for _ in range(6)]
    write_coco(root / "annotations" / "train.json", trained, chairs + dogs)
    tested = [image(number, 160, 120, group="visit3" if number == 15 else "other") for number in range(11, 21)]
    few = [annotation(number, large, area=4800.0) for number in range(11, 20)] + [annotation(11, small)] * 2
    write_coco(root / "annotations" / "test.json", tested, [*few, annotation(12, small, 18)])
    words = [
        "describe",
        "data=coco",
        f"data.root={root}",
        "data.classes=[chair,dog]",
        "data.split={val: 0.0, calibrate: 0.0}",
        "data.train.annotations=annotations/train.json",
        "data.test.annotations=annotations/test.json",
        "model=static",
        "model.input.size_px=96",
        f"runs_root={root / 'runs'}",
    ]
    answer = cli(*words)
    assert answer.code == 0, answer.err
    return answer, words


def test_everything_is_in_the_file(described) -> None:
    answer, _ = described
    description = json.loads((answer.run / "description.json").read_text())
    train, test = (description["roles"][role] for role in ("train", "test"))
    assert {name: held["boxes"] for name, held in train["classes"].items()} == {"chair": 30, "dog": 12}
    assert {name: held["boxes"] for name, held in test["classes"].items()} == {"chair": 11, "dog": 1}
    assert (train["negatives"], test["negatives"], description["all"]["images"]) == (0, 1, 20)
    assert description["co_occurrence"] == {"classes": ["chair", "dog"], "images": [[19, 3], [3, 3]]}
    assert description["thin"] == {"test": {"dog": 1}}
    found = description["near_duplicates"]
    assert (found["pairs"], found["between"], found["of_one_group"]) == (1, {"train/test": 1}, 1)
    assert [Path(name).name for name in found["listed"][0]["files"]] == ["3.png", "15.png"]
    anchors = description["anchors"]
    assert (anchors["role"], anchors["boxes"], anchors["matcher_iou"]) == ("train", 42, 0.5)
    assert anchors["classes"]["dog"]["small"]["recall"] == 0
    assert anchors["classes"]["chair"]["medium"]["recall"] == 1
    assert anchors["all"]["recall"] == pytest.approx(30 / 42)
    assert [fits["iou"] for fits in anchors["matcher"]] == [0.4, 0.45, 0.5, 0.55, 0.6]
    assert list(description["costs"]) == ["full"]


def test_pairs_of_classes_are_listed_by_how_often_they_stand_together() -> None:
    """Out of eight pairs and more, those that most images hold."""
    names = [f"thing{number}" for number in range(6)]
    images = [
        [100 if one == other else 10 * one + other if one < other else 10 * other + one for other in range(6)]
        for one in range(6)
    ]
    written = io.StringIO()
    Console(file=written, width=100).print(together_table({"classes": names, "images": images}))
    rows = [line.split("│")[1:-1] for line in written.getvalue().splitlines() if " and " in line]
    found = [[cell.strip() for cell in row] for row in rows]
    assert found[0] == ["thing4 and thing5", "45", "45%", "45%"]
    assert [int(row[1]) for row in found] == [45, 35, 34, 25, 24, 23, 15, 14]
    written = io.StringIO()
    Console(file=written).print(together_table({"classes": ["a", "b"], "images": [[3, 0], [0, 4]]}))
    assert written.getvalue().strip() == "No image holds two classes."


def test_what_should_be_mended_is_said_and_kept(described) -> None:
    answer, _ = described
    assert "Warning: test has fewer than 10 boxes of dog (1)" in answer.err
    assert (
        "1 pair(s) of images in different roles look alike (1 between train and test; 1 of one 'group')" in answer.err
    )
    warnings = json.loads((answer.run / "manifest.json").read_text())["warnings"]
    assert len(warnings) == 2


def test_figures_are_drawn(described) -> None:
    answer, _ = described
    names = sorted(path.stem for path in (answer.run / "figures").glob("*.png"))
    assert names == ["anchor_scales", "anchors", "classes", "co_occurrence", "near_duplicates"]


def test_a_finished_run_is_shown_again(described, cli) -> None:
    answer, words = described
    again = cli(*words)
    assert again.run == answer.run
    tables = answer.err[answer.err.index("Cost of leaving") :]
    assert tables in again.err


def description_of(classes: int, matcher_iou: float = 0.5, size_px: int = 96) -> dict:
    """Of a set of large and small boxes of many classes."""
    rng = np.random.default_rng(0)
    names = tuple(f"potted plant {number}" for number in range(classes))
    records = []
    for number in range(4 * classes):
        corner = rng.integers(0, 40, 2)
        boxes = np.array([[*corner, *(corner + side)] for side in (20, 110)], np.float32)
        records.append(
            ImageRecord(
                image_id=number,
                path=Path(f"{number}.jpg"),
                width=200,
                height=150,
                group=str(number),
                boxes=boxes,
                labels=np.array([number % classes + 1, (number * 7) % classes + 1]),
                crowd=np.array([False, number % 50 == 0]),
                areas=np.array([400.0, 12100.0], np.float32),
            )
        )
    sets = {
        role: CocoSet(tuple(records[place::4]), ClassMap(names))
        for place, role in enumerate(("train", "val", "calibrate", "test"))
    }
    config = DescribeConfig(
        data=DataConfig(classes=names),
        model=ModelConfig(input=InputConfig(size_px=size_px)),
        loss=LossConfig(matcher_iou=matcher_iou),
    )
    return {**describe_content(sets), "near_duplicates": NO_DUPLICATES, "anchors": describe_anchors(config, sets)}


@pytest.mark.parametrize(("classes", "most_lines"), [(15, 100), (80, 120)])
def test_tables_fit_the_screen(classes: int, most_lines: int) -> None:
    written = io.StringIO()
    print_tables(description_of(classes), Console(file=written, width=100))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < most_lines
    for number in range(classes):
        # Whole names, once among the boxes and once among the anchors.
        assert sum(f"potted plant {number} " in line for line in lines if " and potted" not in line) == 2
    assert "…" not in written.getvalue()


def test_poor_anchors_come_with_a_suggestion() -> None:
    description = description_of(24, size_px=320)
    anchors = description["anchors"]
    assert anchors["small"]["recall"] < 0.7
    (line,) = [line for line in warnings_of(description) if "anchor" in line]
    best = max(anchors["search"]["tried"], key=lambda trial: trial["all"]["recall"])
    assert line.startswith("few boxes have an anchor of IoU 0.5: ")
    assert f"all small ones ({anchors['small']['recall']:.0%})" in line
    assert "'model.anchor_scales=[" + ",".join(f"{scale:g}" for scale in best["scales"]) + "]'" in line
    assert f"cover {best['all']['recall']:.0%} of all boxes instead of {anchors['all']['recall']:.0%}" in line
    assert ("fewer anchors per box" in line) == (
        best["all"]["anchors_per_box"] < anchors["search"]["tried"][0]["all"]["anchors_per_box"]
    )


def test_the_matcher_in_use_is_among_those_compared() -> None:
    anchors = description_of(2, matcher_iou=0.33)["anchors"]
    assert [fits["iou"] for fits in anchors["matcher"]] == [0.33, 0.4, 0.45, 0.5, 0.55, 0.6]
    assert anchors["matcher"][0]["all"] == anchors["all"]
