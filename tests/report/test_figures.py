"""What is drawn is what was given: data of lines, bars and cells, and their names."""

import math
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from cascade_exit.report import (
    Curve,
    Mark,
    Reliability,
    reliability_diagrams,
    save_figure,
    statistic_histograms,
    threshold_heat_maps,
    trade_off,
)

COSTS, APS = np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.3])


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


class TestTradeOff:
    def test_lines_and_points_are_the_data(self) -> None:
        curves = [Curve("router", COSTS, APS), Curve("random", COSTS, APS / 2, reference=True)]
        figure = trade_off(curves, [Mark("full alone", 4.0, 0.3), Mark("chosen: router", 2.0, 0.2, chosen=True)], "ms")
        axes = figure.axes[0]
        for curve, line in zip(curves, axes.lines, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), curve.costs)
            np.testing.assert_array_equal(line.get_ydata(), curve.aps)
        assert [points.get_offsets().tolist() for points in axes.collections] == [[[4, 0.3]], [[2, 0.2]]]
        assert [text.get_text() for text in axes.texts] == ["full alone", "chosen: router"]
        assert legend(figure) == ["router", "random"]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("mean cost of an image (ms)", "AP")

    def test_every_family_has_its_own_look(self) -> None:
        names = [f"family{number}" for number in range(14)]
        references = [Curve(name, COSTS, APS, reference=True) for name in ("random", "oracle")]
        figure = trade_off([*(Curve(name, COSTS, APS) for name in names), *references], [], "ms")
        looks = {(to_hex(line.get_color()), line.get_linestyle()) for line in figure.axes[0].lines}
        assert len(looks) == 16

    def test_names_of_points_that_stand_close_lie_over_nothing(self) -> None:
        star = Mark("chosen: router", 2.0, 0.2, chosen=True)
        for near in (Mark("static", 2.0, 0.206), Mark("static", 2.0, 0.194), Mark("full alone", 2.0, 0.2)):
            figure = trade_off([Curve("router", COSTS, APS)], [near, star], "ms")
            figure.canvas.draw()
            axes = figure.axes[0]
            one, other = (text.get_window_extent() for text in axes.texts)
            assert not one.overlaps(other)
            for name in (one, other):
                for mark in (near, star):
                    assert not name.contains(*axes.transData.transform((mark.cost, mark.ap)))

    def test_names_of_points_of_one_height_do_not_overlap(self) -> None:
        marks = [Mark("full", 2.0, 0.2), Mark("models/static", 2.02, 0.2)]
        figure = trade_off([Curve("router", COSTS, APS)], marks, "ms")
        figure.canvas.draw()
        one, other = (text.get_window_extent() for text in figure.axes[0].texts)
        assert not one.overlaps(other)

    def test_names_do_not_overlap_where_there_are_points_alone(self) -> None:
        marks = [
            Mark("policy", 9.6, 0.207, chosen=True),
            Mark("nothing exits", 14.02, 0.2155),
            Mark("full", 13.72, 0.2155),
            Mark("models/static_fast_multi13", 13.48, 0.213),
        ]
        figure = trade_off([], marks, "ms")
        figure.canvas.draw()
        names = [text.get_window_extent() for text in figure.axes[0].texts]
        assert not any(one.overlaps(other) for place, one in enumerate(names) for other in names[:place])


class TestHeatMaps:
    first = ("exit1", np.array([-math.inf, 0.25, 0.5, math.inf]))
    second = ("exit2", np.array([0.125, 0.75]))
    values = np.arange(8.0).reshape(4, 2)

    def test_cells_numbers_and_ticks(self) -> None:
        figure = threshold_heat_maps(self.first, self.second, {"AP": self.values}, "certainty", (0.5, 0.125))
        (axes,) = figure.axes
        # Exit 1 to the right, exit 2 upwards.
        np.testing.assert_array_equal(axes.images[0].get_array(), self.values.T)
        assert axes.images[0].origin == "lower"
        written = {text.get_position(): text.get_text() for text in axes.texts}
        assert written == {(x, y): f"{self.values[x, y]:.2f}" for x in range(4) for y in range(2)}
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["all stop", "0.25", "0.5", "none stops"]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0.125", "0.75"]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("certainty at exit1", "certainty at exit2")
        (frame,) = axes.patches
        assert frame.get_xy() == (1.5, -0.5)

    def test_a_constant_map_can_be_read(self) -> None:
        figure = threshold_heat_maps(self.first, self.second, {"AP": np.ones((4, 2))}, "certainty")
        assert {text.get_color() for text in figure.axes[0].texts} == {"white"}
        assert not figure.axes[0].patches

    def test_large_maps_have_a_scale_instead_of_numbers(self) -> None:
        many = np.linspace(0, 1, 18)
        figure = threshold_heat_maps(("exit1", many), ("exit2", many), {"AP": np.outer(many, many)}, "certainty")
        assert len(figure.axes) == 2
        assert not figure.axes[0].texts
        places = figure.axes[0].get_xticks().tolist()
        assert places[0] == 0
        assert places[-1] == 17
        assert len(places) <= 11


def test_reliability_bars_are_shares_of_correct_detections() -> None:
    scores = np.array([0.02, 0.03, 0.95, 0.96, 0.97, 1.0])
    correct = np.array([False, True, True, True, True, False])
    before = {"exit1": Reliability(scores, correct, 0.25), "full": Reliability(np.zeros(0), np.zeros(0, bool), None)}
    figure = reliability_diagrams(before, {name: Reliability(scores, correct, 0.01) for name in before})
    assert len(figure.axes) == 4
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [0.5, *[0.0] * 13, 0.75]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "4"]
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["exit1, before: ECE 0.2500", "full, before: no detection"] + [
        f"{name}, after: ECE 0.0100" for name in before
    ]


def test_histograms_split_by_as_good_as_full() -> None:
    values = {
        "exit1": {"certainty": np.array([0.0, 0.0, 1.0, 1.0, 1.0])},
        "exit2": {"certainty": np.array([0.5, 1.0, 1.0, 1.0, 1.0]), "agreement": np.zeros(5)},
    }
    good = {"exit1": np.array([False, True, True, True, True]), "exit2": np.ones(5, bool)}
    auroc = {"exit1": {"certainty": 0.875}, "exit2": {"certainty": None, "agreement": None}}
    figure = statistic_histograms(values, good, auroc)
    shown = {axes.get_title("left"): axes for axes in figure.axes if axes.get_visible()}
    assert set(shown) == {"exit1: certainty", "exit2: certainty", "exit2: agreement"}
    assert shown["exit1: certainty"].get_title("right") == "AUROC 0.88"
    assert shown["exit2: certainty"].get_title("right") == ""
    as_good, worse = shown["exit1: certainty"].containers
    assert [as_good[0].get_height(), as_good[-1].get_height()] == [0.25, 0.75]
    assert [worse[0].get_height(), worse[-1].get_height()] == [1.0, 0.0]
    # Of a side without images there is nothing to draw.
    assert sum(bar.get_height() for bar in shown["exit2: certainty"].containers[1]) == 0
    assert legend(figure) == ["as good as full", "worse than full"]


def test_figures_are_written_without_a_display(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "curve.png"
    save_figure(trade_off([Curve("router", COSTS, APS)], [], "ms"), path)
    with Image.open(path) as picture:
        assert picture.width > 800
        assert np.asarray(picture.convert("L")).min() < 120
