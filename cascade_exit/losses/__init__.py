"""Target matching, multibox loss, diversity, cascade and distillation terms, and the whole loss made of them."""

from cascade_exit.losses.alarm import trivial_loss_warnings
from cascade_exit.losses.cascade import cascade_loss
from cascade_exit.losses.class_balance import label_weights
from cascade_exit.losses.config import CascadeConfig, DistillConfig, DiversityConfig, FocalConfig, LossConfig
from cascade_exit.losses.criterion import CascadeCriterion, LossTerms
from cascade_exit.losses.distill import distill_loss
from cascade_exit.losses.diversity import diversity_loss
from cascade_exit.losses.focal import focal_loss
from cascade_exit.losses.matching import BACKGROUND, IGNORED, match_anchors
from cascade_exit.losses.multibox import multibox_loss

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "CascadeConfig",
    "CascadeCriterion",
    "DistillConfig",
    "DiversityConfig",
    "FocalConfig",
    "LossConfig",
    "LossTerms",
    "cascade_loss",
    "distill_loss",
    "diversity_loss",
    "focal_loss",
    "label_weights",
    "match_anchors",
    "multibox_loss",
    "trivial_loss_warnings",
]
