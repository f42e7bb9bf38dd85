import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.visualization import class_color, draw_boxes
from cascade_exit.visualization.colors import FALSE, MISSED, RIGHT, text_color
from cascade_exit.visualization.draw import DrawnBox, draw

GREY = (128, 128, 128)
NAVY = (0, 0, 120)  # dark, so that its text is white and nothing else is
LIGHT = 150
NAMES = ("chair", "table", "sofa")


def blank(width: int = 200, height: int = 160) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def white_pixels(boxes: list[DrawnBox], width: int = 200, height: int = 160) -> int:
    """How much of a label's text can be seen; its pixels are white or, at the rim of a letter, nearly."""
    return int((np.asarray(draw(Image.fromarray(blank(width, height)), boxes)).min(axis=2) > LIGHT).sum())


def test_every_edge_has_the_color_of_the_class() -> None:
    boxes, labels = np.array([[20.0, 40, 90, 120], [110, 30, 180, 150]]), np.array([1, 3])
    picture = draw_boxes(blank(), boxes, labels, None, NAMES)
    for (x1, y1, x2, y2), label in zip(boxes.astype(int).tolist(), labels.tolist(), strict=True):
        middle = ((x1 + x2) // 2, (y1 + y2) // 2)
        for point in ((x1, middle[1]), (x2, middle[1]), (middle[0], y2), (middle[0], y1)):
            assert picture.getpixel(point) == class_color(label), point
        assert picture.getpixel(middle) == GREY
    assert picture.getpixel((5, 5)) == GREY


@pytest.mark.parametrize(
    ("box", "seen"),
    [
        ((-30.0, -20.0, 60.0, 70.0), [(0, 60), (60, 30), (30, 70), (50, 0)]),
        ((150.0, 100.0, 240.0, 200.0), [(150, 140), (199, 140), (170, 159)]),
        ((0.0, 0.0, 200.0, 160.0), [(0, 100), (199, 100), (100, 159), (150, 0)]),
    ],
)
def test_boxes_over_the_border_show_all_edges(
    box: tuple[float, float, float, float], seen: list[tuple[int, int]]
) -> None:
    picture = draw_boxes(blank(), np.array([box]), np.array([1]), None, ("x",))
    assert [picture.getpixel(point) for point in seen] == [class_color(1)] * len(seen)


@pytest.mark.parametrize(
    "corners",
    [
        (0.0, 0.0, 200.0, 160.0),
        (0.0, 0.0, 15.0, 12.0),
        (190.0, 0.0, 200.0, 10.0),
        (0.0, 150.0, 10.0, 160.0),
        (190.0, 150.0, 200.0, 160.0),
        (185.0, 70.0, 260.0, 90.0),
        (-60.0, 60.0, 4.0, 100.0),
        (80.0, -5.0, 120.0, 4.0),
        (90.0, 155.0, 130.0, 190.0),
        (300.0, 300.0, 400.0, 400.0),
    ],
)
def test_labels_stay_whole_at_the_border(corners: tuple[float, float, float, float]) -> None:
    in_the_middle = white_pixels([DrawnBox((80.0, 60.0, 120.0, 100.0), NAVY, "armchair 0.87")])
    assert in_the_middle > 20
    assert white_pixels([DrawnBox(corners, NAVY, "armchair 0.87")]) == in_the_middle


def test_a_label_wider_than_the_picture_is_shortened() -> None:
    long = DrawnBox((5.0, 40.0, 50.0, 70.0), NAVY, "a chair that nobody would call by so long a name")
    picture = np.asarray(draw(Image.fromarray(blank(80, 80)), [long]))
    columns = np.flatnonzero((picture.min(axis=2) > LIGHT).any(axis=0))
    assert columns.size > 10
    assert columns.max() < 80 - 2


def test_labels_do_not_cover_each_other() -> None:
    corners = (60.0, 50.0, 140.0, 110.0)
    texts = ["chair 0.91", "chair 0.90", "chair 0.89"]
    apart = sum(white_pixels([DrawnBox(corners, NAVY, text)]) for text in texts)
    together = white_pixels([DrawnBox(corners, NAVY, text) for text in texts])
    assert together == apart


def test_a_label_without_room_is_left_out_rather_than_heaped_on_others() -> None:
    corners = (10.0, 10.0, 30.0, 24.0)
    best = DrawnBox(corners, NAVY, "0.91")
    crowd = [DrawnBox(corners, NAVY, f"0.{index}") for index in range(10, 30)]
    alone = np.asarray(draw(Image.fromarray(blank(40, 40)), [best])).min(axis=2) > LIGHT
    together = np.asarray(draw(Image.fromarray(blank(40, 40)), [*crowd, best])).min(axis=2) > LIGHT
    assert alone.sum() > 10
    assert together[alone].all()


def test_the_best_score_lies_on_top() -> None:
    boxes = np.array([[40.0, 40, 120, 120]] * 3)
    picture = draw_boxes(blank(), boxes, np.array([1, 2, 3]), np.array([0.2, 0.9, 0.5]), NAMES)
    assert picture.getpixel((80, 120)) == class_color(2)


def test_dashes_reach_the_corners_and_leave_gaps() -> None:
    picture = draw(Image.fromarray(blank()), [DrawnBox((20.0, 30.0, 150.0, 130.0), NAVY, dashed=True)])
    top = [picture.getpixel((x, 30)) for x in range(20, 151)]
    assert top[0] == top[-1] == NAVY
    assert 0.4 < top.count(NAVY) / len(top) < 0.8


def test_all_forms_of_an_image_give_the_same_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    original = image.copy()
    boxes, labels = np.array([[10.0, 20, 60, 70]], np.float32), np.array([2])
    pictures = [
        draw_boxes(form, boxes, labels, None, NAMES)
        for form in (image, image.transpose(2, 0, 1), torch.tensor(image).permute(2, 0, 1), Image.fromarray(image))
    ]
    pictures.append(draw_boxes(torch.tensor(image), torch.tensor(boxes), torch.tensor(labels), None, NAMES))
    assert all(picture.size == (120, 90) for picture in pictures)
    assert all(np.array_equal(pictures[0], picture) for picture in pictures)
    assert np.array_equal(image, original)


def test_without_boxes_nothing_is_drawn() -> None:
    picture = draw_boxes(blank(), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), NAMES)
    assert np.array_equal(picture, blank())


def test_colors_tell_classes_apart_and_from_outcomes() -> None:
    colors = [class_color(label) for label in range(1, 92)]
    assert len(set(colors)) == 91
    first = np.array([*colors[:13], RIGHT, FALSE, MISSED], float)
    distances = np.linalg.norm(first[:, None] - first[None], axis=2) + 1e3 * np.eye(len(first))
    assert distances.min() > 60


def test_text_is_black_on_light_and_white_on_dark() -> None:
    assert text_color((255, 230, 0)) == (0, 0, 0)
    assert text_color((20, 20, 120)) == (255, 255, 255)
