import io

import numpy as np
import pytest
from PIL import Image

from cascade_exit.visualization import confidence_histograms


def test_one_histogram_per_exit_with_its_shares() -> None:
    rng = np.random.default_rng(0)
    values = {"exit1": rng.beta(1, 6, 400), "full": np.array([0.02, 0.52, 0.53, 0.97])}
    figure = confidence_histograms(values)
    assert [axis.get_title("left") for axis in figure.axes] == ["exit1", "full"]
    steps = [axis.patches[0].get_data() for axis in figure.axes]
    assert steps[0].values.sum() == pytest.approx(1)
    assert steps[1].values[[0, 10, 19]].tolist() == [0.25, 0.5, 0.25]
    assert steps[1].edges[[0, 10, 20]].tolist() == [0, 0.5, 1]
    assert figure.axes[1].get_title("right") == "mean 0.510, std 0.336, n = 4"


def test_figure_is_drawn_without_a_display() -> None:
    figure = confidence_histograms({"exit1": np.array([0.5]), "full": np.zeros(0)})
    target = io.BytesIO()
    figure.savefig(target, format="png")
    pixels = np.asarray(Image.open(target).convert("L"))
    assert pixels.min() < 100
    assert figure.axes[1].get_title("right") == "no values"


def test_no_exit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one exit"):
        confidence_histograms({})
