import pytest

from cascade_exit.losses import CascadeConfig, DistillConfig, DiversityConfig, FocalConfig, LossConfig


def test_the_defaults_are_the_plans_recipe() -> None:
    config = LossConfig()
    assert config.exit_weights == {"exit1": 0.3, "exit2": 0.4, "full": 0.3}
    assert (config.diversity.weight, config.diversity.target_std) == (0.05, 0.15)
    assert config.cascade.weight == 0.05
    assert config.distill.weight == 0


@pytest.mark.parametrize(
    ("make", "values", "line"),
    [
        (DiversityConfig, {"weight": -0.1}, "weight must be a finite number >= 0, got -0.1"),
        (DiversityConfig, {"weight": float("nan")}, "weight must be a finite number >= 0, got nan"),
        (DiversityConfig, {"target_std": 0.6}, "target_std must be between 0 and 0.5, got 0.6"),
        (CascadeConfig, {"weight": float("inf")}, "weight must be a finite number >= 0, got inf"),
        (DistillConfig, {"weight": -1.0}, "weight must be a finite number >= 0, got -1.0"),
        (DistillConfig, {"temperature": 0.0}, "temperature must be a finite number > 0, got 0.0"),
        (DistillConfig, {"box_weight": -1.0}, "box_weight must be a finite number >= 0, got -1.0"),
        (LossConfig, {"exit_weights": {}}, "exit_weights must give at least one exit a weight above 0, got {}"),
        (
            LossConfig,
            {"exit_weights": {"full": 0.0}},
            "exit_weights must give at least one exit a weight above 0, got {'full': 0.0}",
        ),
        (
            LossConfig,
            {"exit_weights": {"full": 1.0, "exit1": -0.1}},
            "exit_weights.exit1 must be a finite number >= 0, got -0.1",
        ),
        (LossConfig, {"matcher_iou": 0.0}, "matcher_iou must be above 0 and at most 1, got 0.0"),
        (LossConfig, {"matcher_iou": float("nan")}, "matcher_iou must be above 0 and at most 1, got nan"),
        (FocalConfig, {"gamma": -1.0}, "gamma must be a finite number >= 0, got -1.0"),
        (FocalConfig, {"alpha": 1.0}, "alpha must lie in (0, 1), got 1.0"),
        (LossConfig, {"class_balance_beta": 1.0}, "class_balance_beta must be in [0, 1), got 1.0"),
        (LossConfig, {"negatives_per_positive": -1.0}, "negatives_per_positive must be a finite number >= 0, got -1.0"),
        (
            LossConfig,
            {"negatives_per_empty_image": -1},
            "negatives_per_empty_image must be a finite number >= 0, got -1",
        ),
        (LossConfig, {"trunk_gradient": {"exit1": 1.5}}, "trunk_gradient.exit1 must be between 0 and 1, got 1.5"),
        (
            LossConfig,
            {"trunk_gradient": {"exit9": 0.2}},
            "trunk_gradient must name exits of exit_weights (exit1, exit2, full), got exit9",
        ),
    ],
)
def test_a_value_out_of_range_is_one_clear_line(make: type, values: dict, line: str) -> None:
    with pytest.raises(ValueError, match="must") as error:
        make(**values)
    assert str(error.value) == line
