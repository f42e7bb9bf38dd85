"""What is drawn of a search."""

from cascade_exit.report import Tried, trials_figure


def test_front_is_drawn_in_the_order_of_cost_and_numbered():
    trials = [Tried(0, (0.3, 5e6), False), Tried(1, (0.5, 9e6), True), Tried(2, (0.3, 4e6), True)]
    [axes] = trials_figure(trials, ("AP", "macs"), (True, False)).axes
    beaten, best = (list(map(tuple, line.get_xydata())) for line in axes.get_lines())
    assert beaten == [(5e6, 0.3)]
    assert best == [(4e6, 0.3), (9e6, 0.5)]
    assert [text.get_text() for text in axes.texts] == ["2", "1"]
    assert axes.get_xlabel() == "macs (smaller is better)"


def test_course_follows_the_best_so_far():
    trials = [Tried(2, (3.0,), False), Tried(0, (4.0,), False), Tried(1, (2.0,), True)]
    [axes] = trials_figure(trials, ("loss",), (False,)).axes
    shown, best, star = axes.get_lines()
    assert list(shown.get_ydata()) == [4, 2, 3]
    assert list(best.get_ydata()) == [4, 2, 2]
    assert list(map(tuple, star.get_xydata())) == [(1, 2)]
