"""Figures of a set show the numbers that they were given."""

import numpy as np
from matplotlib.colors import to_hex

from cascade_exit.report import anchor_recall_map, anchor_trade_off, class_bars, co_occurrence_map, picture_pairs


def held(boxes: int, small: int) -> dict:
    sizes = {"small": small, "medium": boxes - small, "large": 0}
    return {"boxes": boxes, "sizes": sizes, "side_quantiles": (0.1, 0.2, 0.3, 0.4, 0.5) if boxes else ()}


def test_class_bars() -> None:
    roles = {"train": {"chair": 2000, "dog": 40}, "test": {"chair": 30, "dog": 0}}
    content = {"area_unit": "original", "classes": {"chair": held(2030, 203), "dog": held(40, 0)}}
    figure = class_bars(roles, content)
    boxes, sizes, sides = figure.axes
    assert [tick.get_text() for tick in boxes.get_yticklabels()] == ["chair", "dog"]
    counts = {dots.get_label(): dots.get_offsets()[:, 0].tolist() for dots in boxes.collections}
    assert counts == {"train": [2000, 40], "test": [30, 0]}
    # A class without boxes has a place on the axis.
    assert boxes.get_xlim()[0] < 0
    assert sizes.get_title("left") == "sizes, in original pixels"
    assert [bar.get_width() for bar in sizes.patches] == [0.1, 0, 0.9, 1, 0, 0]
    middles = [line.get_xdata()[0] for line in sides.lines if line.get_xdata()[0] == line.get_xdata()[1]]
    assert middles == [0.3, 0.3]


def test_co_occurrence_map() -> None:
    images = np.array([[10, 3, 0], [3, 1200, 1], [0, 1, 5]])
    axes = co_occurrence_map(images, ["chair", "dog", "vase"]).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "10", (1, 0): "3", (0, 1): "3", (1, 1): "1,200", (2, 1): "1", (1, 2): "1", (2, 2): "5"}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["chair", "dog", "vase"]
    many = co_occurrence_map(np.eye(60, dtype=int), [f"class {number}" for number in range(60)])
    assert not many.axes[0].texts
    assert len(many.axes) == 2


def fit(recall: float, anchors_per_box: float) -> dict:
    return {"all": {"recall": recall, "anchors_per_box": anchors_per_box}}


def test_anchors() -> None:
    anchors = {
        "matcher_iou": 0.5,
        "role": "train",
        "scales": [0.2, 0.35, 0.5, 0.65],
        **fit(0.7, 8.0),
        "classes": {"chair": fit(0.75, 9.0), "dog": {}},
        "matcher": [{"iou": 0.4, **fit(0.8, 20.0)}, {"iou": 0.5, **fit(0.7, 8.0)}],
        "search": {
            "tried": [
                {"scales": [0.2, 0.35, 0.5, 0.65], "unbeaten": True, **fit(0.71, 8.0)},
                {"scales": [0.1, 0.2, 0.3, 0.4], "unbeaten": True, **fit(0.9, 3.0)},
                {"scales": [0.04, 0.2, 0.3, 0.4], "unbeaten": False, **fit(0.6, 2.0)},
            ]
        },
    }
    axes = anchor_recall_map(anchors).axes[0]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "0.75", (0, 2): "0.70"}
    axes = anchor_trade_off(anchors).axes[0]
    points = {dots.get_label(): dots.get_offsets().tolist() for dots in axes.collections}
    assert points == {
        "other scales, IoU 0.5": [[2.0, 0.6]],
        "other scales that none beats, IoU 0.5": [[3.0, 0.9]],
        "in use: 0.2, 0.35, 0.5, …, IoU 0.5": [[8.0, 0.7]],
    }
    assert axes.lines[0].get_xydata().tolist() == [[20.0, 0.8], [8.0, 0.7]]
    assert [text.get_text() for text in axes.texts] == ["0.1, 0.2, 0.3, …", "IoU 0.4"]
    assert len({to_hex(dots.get_facecolor()[0]) for dots in axes.collections}) == 3


def test_pairs_stand_side_by_side() -> None:
    pictures = [(np.full((4, 6, 3), shade, np.uint8), f"picture {shade}") for shade in range(6)]
    figure = picture_pairs([(pictures[0], pictures[1]), (pictures[2], pictures[3]), (pictures[4], pictures[5])])
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [f"picture {shade}" for shade in range(6)]
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in shown] == list(range(6))
