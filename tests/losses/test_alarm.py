import math

import pytest

from cascade_exit.losses import trivial_loss_warnings


def test_a_loss_near_zero_without_detections_names_the_exit_and_the_likely_cause() -> None:
    losses = {"exit1": 0.159, "full": 2.27e-08}
    (line,) = trivial_loss_warnings(losses, {"exit1": 0.0, "full": 0.0})
    assert line.startswith("full: loss 2.3e-08 is near zero while AP is 0.0000")
    assert "everything is background" in line
    assert "input pixels" in line
    assert "\n" not in line


def test_every_such_exit_is_named() -> None:
    lines = trivial_loss_warnings({"exit1": 0.0, "full": 1e-4}, {"exit1": 0.0, "full": 9e-5})
    assert [line.split(":")[0] for line in lines] == ["exit1", "full"]


@pytest.mark.parametrize(
    ("loss", "average_precision"), [(1e-3, 0.0), (0.5, 0.0), (1e-6, 1e-4), (1e-6, 0.9), (math.nan, 0.0)]
)
def test_a_loss_that_works_or_exits_that_detect_raise_no_alarm(loss: float, average_precision: float) -> None:
    assert trivial_loss_warnings({"full": loss}, {"full": average_precision}) == []


@pytest.mark.parametrize("measured", [{}, {"full": math.nan}, {"full": -1.0}])
def test_without_a_measurement_there_is_no_alarm(measured: dict[str, float]) -> None:
    assert trivial_loss_warnings({"full": 0.0}, measured) == []
