"""Values as JSON can say them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade_exit.runs.plain import plain


@dataclass(frozen=True)
class Inner:
    weights: tuple[float, ...] = (0.3, 0.7)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    root: Path = Path("data")
    tag: str | None = None


def test_dataclasses_tuples_and_paths_become_plain() -> None:
    assert plain(Outer()) == {"inner": {"weights": [0.3, 0.7]}, "root": "data", "tag": None}


def test_scalars_of_numpy_and_torch_become_python_numbers() -> None:
    values = {"a": np.float64(0.5), "b": np.int64(3), "c": torch.tensor(0.25), "d": np.bool_(True), "e": np.array(2)}
    text = json.dumps(plain(values))
    assert json.loads(text) == {"a": 0.5, "b": 3, "c": 0.25, "d": True, "e": 2}


@pytest.mark.parametrize("missing", [float("nan"), float("inf"), np.float32("nan"), torch.tensor(float("-inf"))])
def test_a_number_that_is_not_finite_is_absent(missing: object) -> None:
    assert plain({"AP": missing, "AP50": 0.5}) == {"AP50": 0.5}
    assert plain([missing, 1.0]) == [None, 1.0]


@pytest.mark.parametrize("value", [object(), np.zeros(2), torch.zeros(2), {1, 2}])
def test_what_has_no_plain_form_is_refused_with_its_key(value: object) -> None:
    with pytest.raises(TypeError, match=r"exits\.0\.curve"):
        plain({"exits": [{"curve": value}]})
