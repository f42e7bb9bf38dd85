import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from cascade_exit.data import ClassMap, read_coco
from cascade_exit.runs.errors import UserError

from .scenes import annotation, image, write_coco

CHAIR = ClassMap(("chair",))
NAN, INFINITY = float("nan"), float("inf")


def test_agrees_with_pycocotools_on_boxes_areas_and_crowds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = [image(number, 640, 480) for number in random.permutation(np.arange(1, 9)).tolist()]
    annotations = []
    for number in range(40):
        x, y = random.uniform(0, 500), random.uniform(0, 400)
        bbox = [round(x, 2), round(y, 2), round(random.uniform(1, 640 - x), 2), round(random.uniform(1, 480 - y), 2)]
        annotations.append(
            annotation(
                int(random.integers(1, 8)),
                bbox,
                (62, 18, 3)[number % 3],
                area=number + 0.5,
                iscrowd=int(number % 5 == 0),
            )
        )
    categories = [{"id": 62, "name": "chair"}, {"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
    path = write_coco(tmp_path / "a.json", images, annotations, categories)
    truth = COCO(str(path))
    classes = ClassMap(("dog", "chair"))

    read = read_coco(path, tmp_path, classes)

    assert [record.image_id for record in read.records] == sorted(truth.getImgIds())
    for record in read.records:
        expected = truth.loadAnns(truth.getAnnIds(imgIds=record.image_id, catIds=[62, 18]))
        boxes = np.array([entry["bbox"] for entry in expected]).reshape(-1, 4)
        np.testing.assert_allclose(record.boxes[:, :2], boxes[:, :2], rtol=1e-6)
        np.testing.assert_allclose(record.boxes[:, 2:] - record.boxes[:, :2], boxes[:, 2:], atol=1e-4)
        assert [classes.name(label) for label in record.labels.tolist()] == [
            truth.cats[entry["category_id"]]["name"] for entry in expected
        ]
        assert record.crowd.tolist() == [bool(entry["iscrowd"]) for entry in expected]
        assert record.areas.tolist() == [entry["area"] for entry in expected]


def test_images_without_wanted_boxes_stay_as_negatives(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a.json", [image(1), image(2)], [annotation(2, [1, 2, 3, 4], category_id=18)])
    read = read_coco(path, tmp_path / "images", CHAIR)
    assert [len(record.labels) for record in read.records] == [0, 0]
    assert read.records[0].boxes.shape == (0, 4)
    assert read.records[0].path == tmp_path / "images" / "1.png"
    assert read.by_id[2] is read.records[1]


def test_boxes_are_clipped_to_the_image_and_keep_their_annotated_area(tmp_path: Path) -> None:
    boxes = [[-5, -4, 20, 20], [30, 20, 50.5, 10], [0, 0, 40, 30]]
    path = write_coco(tmp_path / "a.json", [image(1, 40, 30)], [annotation(1, box, area=7) for box in boxes])
    record = read_coco(path, tmp_path, CHAIR).records[0]
    assert record.boxes.tolist() == [[0, 0, 15, 16], [30, 20, 40, 30], [0, 0, 40, 30]]
    assert record.areas.tolist() == [7, 7, 7]


def test_a_missing_area_is_the_boxs_own(tmp_path: Path) -> None:
    entry = annotation(1, [1, 2, 10, 5])
    del entry["area"]
    path = write_coco(tmp_path / "a.json", [image(1)], [entry])
    assert read_coco(path, tmp_path, CHAIR).records[0].areas.tolist() == [50]


def test_group_difficulty_and_original_size_are_read(tmp_path: Path) -> None:
    more = {"group": "video 3", "difficulty": "crowded", "original_width": 640, "original_height": 480}
    path = write_coco(tmp_path / "a.json", [image(1, **more), image(2), image(3, group=12)])
    first, second, third = read_coco(path, tmp_path, CHAIR).records
    assert (first.group, first.difficulty, first.original_size) == ("video 3", "crowded", (480, 640))
    assert (second.group, second.difficulty, second.original_size) == ("2", None, None)
    assert third.group == "12"


def test_faults_in_boxes_of_other_classes_stop_nobody(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a.json", [image(1)], [annotation(1, [1, 2, 0, 0], category_id=18)])
    assert len(read_coco(path, tmp_path, CHAIR)) == 1


@pytest.mark.parametrize(
    ("bbox", "more", "message"),
    [
        ([1, 2, 0, 5], {}, "has no area: width and height must be above 0"),
        ([1, 2, 5, -1], {}, "has no area"),
        ([1, 2, NAN, 5], {}, "is not finite"),
        ([INFINITY, 2, 3, 5], {}, "is not finite"),
        ([1, 2, 3], {}, "must be \\[x, y, width, height\\]"),
        (["1", 2, 3, 4], {}, "must be \\[x, y, width, height\\]"),
        (None, {}, "must be \\[x, y, width, height\\]"),
        ([41, 2, 5, 5], {}, "no area inside the image of 40x30"),
        ([1, -9, 5, 9], {}, "no area inside the image of 40x30"),
        ([1, 2, 3, 4], {"area": NAN}, "'area' must be"),
        ([1, 2, 3, 4], {"area": -1}, "'area' must be"),
        ([1, 2, 3, 4], {"iscrowd": 2}, "'iscrowd' must be 0 or 1"),
        ([1, 2, 3, 4], {"image_id": 99}, "image_id 99 is not among the file's images"),
        ([1, 2, 3, 4], {"image_id": [1]}, "image_id \\[1\\] is not among"),
        ([1, 2, 3, 4], {"category_id": 5}, "category_id 5 is not among the file's categories"),
        ([1, 2, 3, 4], {"id": 1}, "this id is given twice"),
        ([1, 2, 3, 4], {"id": "x"}, "'id' must be an integer"),
    ],
)
@pytest.mark.parametrize("others", [0, 2])
def test_a_faulty_annotation_is_named_and_the_rest_counted(
    tmp_path: Path, bbox: Any, more: dict[str, Any], message: str, others: int
) -> None:
    faulty = {**annotation(1, bbox, id=70), **more}
    entries = [
        annotation(1, [1, 1, 2, 2], id=1),
        faulty,
        *[annotation(1, [0, 0, 0, 0], id=80 + k) for k in range(others)],
    ]
    path = write_coco(tmp_path / "a.json", [image(1)], entries)
    with pytest.raises(UserError) as caught:
        read_coco(path, tmp_path, CHAIR)
    line = str(caught.value)
    assert line.startswith(f"{path}: annotation id {faulty['id']!r}"), line
    assert re.search(message, line), line
    assert line.endswith("; and 2 more item(s) with problems") == (others == 2), line
    assert "\n" not in line


def test_a_faulty_box_names_the_image_file_and_id(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a.json", [image(7)], [annotation(7, [1, 2, 0, 5], id=70)])
    with pytest.raises(UserError, match=r"annotation id 70 of 7.png \(image id 7\): bbox \[1, 2, 0, 5\] has no area"):
        read_coco(path, tmp_path, CHAIR)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image(1), image(1, file_name="b.png")], "image id 1 is given twice"),
        ([image(1), image(2, file_name="1.png")], r"1.png is listed twice \(image ids 1 and 2\)"),
        (
            [{"id": 3, "file_name": "a.png"}],
            r"image id 3\): 'width' must be a whole number of pixels above 0, got None",
        ),
        ([image(3, height=0)], "'height' must be a whole number of pixels above 0, got 0"),
        ([image(3, width="40")], "'width' must be"),
        ([image(3, original_width=5)], "'original_height' must be"),
        ([{**image(3), "id": "0003"}], "'id' must be an integer, got '0003'"),
        ([{**image(3), "file_name": None}], "'file_name' must be the name of a file"),
        ([], "lists no images"),
    ],
)
def test_faulty_image_entries_are_named(tmp_path: Path, images: list[dict[str, Any]], message: str) -> None:
    path = write_coco(tmp_path / "a.json", images)
    with pytest.raises(UserError, match=message):
        read_coco(path, tmp_path, CHAIR)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("Chair",), "has no class 'Chair'; did you mean 'chair'\\? there is: chair, dog"),
        (("chiar",), "did you mean 'chair'"),
        (
            ("zebra", "xylophone"),
            "has no class 'zebra' \\(and 1 more of the classes asked for\\); there is: chair, dog",
        ),
    ],
)
def test_a_class_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, wanted: tuple[str, ...], message: str
) -> None:
    path = write_coco(tmp_path / "a.json", [image(1)])
    with pytest.raises(UserError, match=message):
        read_coco(path, tmp_path, ClassMap(wanted))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1, "name": "chair"}, {"id": 1, "name": "dog"}], "category id 1 is given twice"),
        ([{"id": 1, "name": "chair"}, {"id": 2, "name": "chair"}], "category name 'chair' is given twice"),
        ([{"name": "chair"}], r"categories\[0\] needs an integer 'id'"),
        ([], "has no class 'chair'; there is: nothing"),
    ],
)
def test_faulty_categories_are_named(tmp_path: Path, categories: list[dict[str, Any]], message: str) -> None:
    path = write_coco(tmp_path / "a.json", [image(1)], categories=categories)
    with pytest.raises(UserError, match=message):
        read_coco(path, tmp_path, CHAIR)


def test_the_fingerprint_changes_with_what_matters_and_with_nothing_else(tmp_path: Path) -> None:
    images, entries = [image(1), image(2)], [annotation(1, [1, 2, 3, 4]), annotation(2, [5, 6, 7, 8])]

    def fingerprint(folder: str, images: list[dict], entries: list[dict], classes: ClassMap = CHAIR) -> str:
        return read_coco(
            write_coco(tmp_path / folder / "a.json", images, entries), tmp_path / folder, classes
        ).fingerprint

    base = fingerprint("a", images, entries)
    assert base == fingerprint("b", images[::-1], [{**entry, "extra": 1} for entry in entries])
    others = [
        fingerprint("c", [image(1), image(3)], [entries[0], {**entries[1], "image_id": 3}]),
        fingerprint("c", [image(1, file_name="x.png"), image(2)], entries),
        fingerprint("c", [image(1, width=41), image(2)], entries),
        fingerprint("c", images, [{**entries[0], "bbox": [1, 2, 3, 4.5]}, entries[1]]),
        fingerprint("c", images, [{**entries[0], "iscrowd": 1}, entries[1]]),
        fingerprint("c", images, [{**entries[0], "area": 2}, entries[1]]),
        fingerprint("c", images, entries, ClassMap(("dog",))),
        fingerprint("c", images, entries, ClassMap(("chair", "dog"))),
        read_coco(tmp_path / "a" / "a.json", tmp_path, CHAIR).keep(lambda record: record.image_id == 1).fingerprint,
    ]
    assert len({base, *others}) == len(others) + 1
