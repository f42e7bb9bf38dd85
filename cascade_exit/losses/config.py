"""Settings of the loss; one dataclass whose values make every recipe (`loss=plan`, `loss=distill`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AnchorWeighting = Literal["none", "confidence"]
Classification = Literal["multibox", "focal"]


def _require_not_negative(key: str, value: float | int) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{key} must be a finite number >= 0, got {value}")


@dataclass(frozen=True)
class DiversityConfig:
    """Spread of the mean confidence over the images of a batch.

    Attributes:
        weight: share in the total; 0 switches the term off.
        target_std: wanted standard deviation of the mean confidence; a quantity in [0, 1] cannot exceed 0.5.
    """

    weight: float = 0.05
    target_std: float = 0.15

    def __post_init__(self) -> None:
        _require_not_negative("weight", self.weight)
        if not 0 <= self.target_std <= 0.5:
            raise ValueError(f"target_std must be between 0 and 0.5, got {self.target_std}")


@dataclass(frozen=True)
class CascadeConfig:
    """Pull of every exit towards the exit before it.

    Attributes:
        weight: share in the total; 0 switches the term off.
    """

    weight: float = 0.05

    def __post_init__(self) -> None:
        _require_not_negative("weight", self.weight)


@dataclass(frozen=True)
class DistillConfig:
    """Pull of every exit towards the last one, on whose anchors it answers or from whose detections it learns.

    Attributes:
        weight: share in the total; 0 switches the term off.
        temperature: softens both class distributions; the class term is multiplied by its square.
        box_weight: share of the box term inside the distillation term.
        anchor_weighting: "none" counts all anchors alike in the class term, "confidence" by the teacher's foreground
            confidence. The box term is always weighted by it: deltas of background anchors mean nothing.
    """

    weight: float = 0.0
    temperature: float = 1.0
    box_weight: float = 1.0
    anchor_weighting: AnchorWeighting = "none"

    def __post_init__(self) -> None:
        _require_not_negative("weight", self.weight)
        _require_not_negative("box_weight", self.box_weight)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be a finite number > 0, got {self.temperature}")
        if self.anchor_weighting not in ("none", "confidence"):
            raise ValueError(f"anchor_weighting must be none or confidence, got {self.anchor_weighting}")


@dataclass(frozen=True)
class FocalConfig:
    """Focal loss in place of hard-negative mining.

    Attributes:
        gamma: anchors that are answered well count less, the more the larger it is; 0: all count alike.
        alpha: share of objects; background has 1 - alpha.
    """

    gamma: float = 2.0
    alpha: float = 0.25

    def __post_init__(self) -> None:
        _require_not_negative("gamma", self.gamma)
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie in (0, 1), got {self.alpha}")


def _plan_exit_weights() -> dict[str, float]:
    return {"exit1": 0.3, "exit2": 0.4, "full": 0.3}


@dataclass(frozen=True)
class LossConfig:
    """The loss of a cascade; the defaults are the plan's recipe.

    Attributes:
        exit_weights: weight of each exit's multibox loss, normalised to sum 1 over the exits that are trained. It may
            name exits that a model lacks; 0 leaves an exit's multibox loss out.
        matcher_iou: an anchor answers for an object from this IoU on.
        classification: "multibox" is cross entropy with hard-negative mining (the two numbers below), "focal" is focal
            loss over all anchors.
        focal: settings of focal loss.
        class_balance_beta: weights of positive anchors by the effective number of their class's boxes; 0: all count
            alike, towards 1: by the inverse of that number of boxes.
        negatives_per_positive: background anchors that count per positive anchor, hardest first.
        negatives_per_empty_image: background anchors that count in an image without positive anchors, hardest first;
            0: such an image gives no multibox loss, as in torchvision's SSD.
        diversity: spread of the mean confidence.
        cascade: pull of deeper exits towards shallower ones.
        distill: pull of shallower exits towards the last one.
        trunk_gradient: factor on the gradient that an exit sends into the trunk, by exit name; 1 for exits not named.
            The model applies it.
    """

    exit_weights: dict[str, float] = field(default_factory=_plan_exit_weights)
    matcher_iou: float = 0.5
    classification: Classification = "multibox"
    focal: FocalConfig = field(default_factory=FocalConfig)
    class_balance_beta: float = 0.0
    negatives_per_positive: float = 3.0
    negatives_per_empty_image: int = 0
    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    cascade: CascadeConfig = field(default_factory=CascadeConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    trunk_gradient: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_exit_weights(self.exit_weights)
        if not 0 < self.matcher_iou <= 1:
            raise ValueError(f"matcher_iou must be above 0 and at most 1, got {self.matcher_iou}")
        if not 0 <= self.class_balance_beta < 1:
            raise ValueError(f"class_balance_beta must be in [0, 1), got {self.class_balance_beta}")
        _require_not_negative("negatives_per_positive", self.negatives_per_positive)
        _require_not_negative("negatives_per_empty_image", self.negatives_per_empty_image)
        for exit_name, factor in self.trunk_gradient.items():
            if exit_name not in self.exit_weights:
                known = ", ".join(self.exit_weights)
                raise ValueError(f"trunk_gradient must name exits of exit_weights ({known}), got {exit_name}")
            if not 0 <= factor <= 1:
                raise ValueError(f"trunk_gradient.{exit_name} must be between 0 and 1, got {factor}")


def _check_exit_weights(exit_weights: Mapping[str, float]) -> None:
    for exit_name, weight in exit_weights.items():
        _require_not_negative(f"exit_weights.{exit_name}", weight)
    if not sum(exit_weights.values()) > 0:
        raise ValueError(f"exit_weights must give at least one exit a weight above 0, got {dict(exit_weights)}")
