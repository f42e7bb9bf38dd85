import json
import re
from pathlib import Path

import pytest

from cascade_exit.data.annotation_file import read_annotation_file
from cascade_exit.runs.errors import UserError

VOC = "<annotation><filename>a.jpg</filename><object><name>chair</name></object></annotation>"
RESULTS = json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}])
LABELME = json.dumps({"version": "5", "shapes": [], "imagePath": "a.jpg"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VOC, "is XML, as Pascal VOC uses"),
        ("0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.2 0.2\n", "is a table of numbers, as YOLO uses"),
        (RESULTS, "is a list of predictions"),
        ("[]", "is a JSON list"),
        ("3", "is a JSON int"),
        ('{"images": [', "is broken JSON"),
        ("", "is empty"),
        ("filename,x1,y1\n", "is not JSON"),
        (LABELME, "has no 'images'.*'shapes'.*LabelMe"),
        ('{"images": [], "annotations": []}', "has no 'categories'.*its keys are 'images', 'annotations'"),
        ('{"images": {}, "annotations": [], "categories": []}', "'images' is a dict, not a list"),
        ('{"images": [3], "annotations": [], "categories": []}', r"images\[0\] is a int"),
    ],
)
def test_other_formats_are_named_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_annotation_file(path)
    line = str(caught.value)
    assert re.search(message, line), line
    assert line.startswith(f"{path}: ")
    assert "expected" in line
    assert "\n" not in line


def test_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\x89PNG\r\n\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text"):
        read_annotation_file(tmp_path / "a.json")


def test_a_missing_file_brings_up_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "chair_train.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match=r"does not exist.*did you mean 'chair_train.json'\?.*other.json"):
        read_annotation_file(tmp_path / "chair_trian.json")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_annotation_file(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    content = {"images": [{"id": 1}], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8-sig")
    assert read_annotation_file(tmp_path / "a.json") == content
