"""The whole loss of a cascade: each exit's multibox loss, and what ties the exits together."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cascade_exit.data.batch import Targets
from cascade_exit.losses.cascade import cascade_loss
from cascade_exit.losses.class_balance import label_weights
from cascade_exit.losses.config import LossConfig
from cascade_exit.losses.distill import distill_loss
from cascade_exit.losses.diversity import diversity_loss
from cascade_exit.losses.matching import match_anchors
from cascade_exit.losses.multibox import multibox_loss
from cascade_exit.losses.projection import project
from cascade_exit.model.output import ExitOutput


class LossTerms(NamedTuple):
    """Loss of one batch.

    Attributes:
        total: weighted sum of the terms, to call `backward` on.
        terms: every term that was computed, before weighting, by its own name: "<exit>/classification",
            "<exit>/localization", "diversity", "cascade", "distill" (the last three summed over exits).
    """

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class CascadeCriterion:
    """Loss of a cascade under one recipe.

    Under DDP the mean over processes of `total` is the loss of the whole batch (see `distributed`).

    Args:
        config: the recipe.
        anchors_by_exit: anchors of each exit, `[anchor 4]` xyxy in input pixels; exits with equal anchors are matched
            once.
        exit_names: exits of the model, shallowest first.
        boxes_per_class: boxes of each class in the training data, where `class_balance_beta` asks for them.

    Raises:
        ValueError: an exit has no weight or no anchors, the cascade term ties exits with different anchors, or classes
            are to be balanced and nobody says how many boxes they have.
    """

    def __init__(
        self,
        config: LossConfig,
        anchors_by_exit: Mapping[str, Tensor],
        exit_names: Sequence[str],
        boxes_per_class: Sequence[int] | None = None,
    ) -> None:
        _require_names("loss.exit_weights", config.exit_weights, exit_names)
        _require_names("anchors_by_exit", anchors_by_exit, exit_names)
        self.config = config
        self.exit_names = tuple(exit_names)
        self._grids, self._grid_of_exit = _distinct_grids(anchors_by_exit, exit_names)
        self._focal = config.focal if config.classification == "focal" else None
        self._label_weights = _label_weights(config, boxes_per_class)
        if config.cascade.weight > 0 and len(self._grids) > 1:
            sizes = ", ".join(f"{name} {len(self._grids[grid])}" for name, grid in self._grid_of_exit.items())
            raise ValueError(
                f"loss.cascade.weight must be 0 where exits have different anchors ({sizes}), got "
                f"{config.cascade.weight}: the term compares what two exits say about the same anchor"
            )

    def __call__(
        self, outputs: Mapping[str, ExitOutput], targets: Targets, active: Collection[str] | None = None
    ) -> LossTerms:
        """Computes the loss of one batch.

        Only active exits learn: their multibox losses count, with weights that sum to 1, they alone are made diverse,
        and they alone are students. Any other exit in `outputs` serves as a teacher only.

        Args:
            outputs: answers of the exits that were run; the others are left out of every term.
            targets: objects of the batch.
            active: names of the exits that learn; all in `outputs` by default.

        Raises:
            ValueError: an active exit has no output, an output belongs to no exit, or no active exit has a weight.
        """
        present = self._in_order("outputs", outputs, self.exit_names)
        learning = present if active is None else self._in_order("active", active, present)
        terms: dict[str, Tensor] = {}
        total = self._multibox(outputs, targets, learning, terms)
        for name, weight, losses in (
            ("diversity", self.config.diversity.weight, self._diversity(outputs, learning)),
            ("cascade", self.config.cascade.weight, self._cascade(outputs, present, learning)),
            ("distill", self.config.distill.weight, self._distill(outputs, learning)),
        ):
            # Lazy: a term of weight 0 is never computed.
            parts = list(losses) if weight > 0 else []
            if parts:
                terms[name] = torch.stack(parts).sum()
                total = total + weight * terms[name]
        return LossTerms(total, terms)

    def _multibox(
        self,
        outputs: Mapping[str, ExitOutput],
        targets: Targets,
        learning: Sequence[str],
        terms: dict[str, Tensor],
    ) -> Float[Tensor, ""]:
        """Adds the multibox terms of the exits with a weight to `terms` and returns their weighted sum."""
        weights = {name: self.config.exit_weights[name] for name in learning if self.config.exit_weights[name] > 0}
        if not weights:
            raise ValueError(f"loss.exit_weights must be above 0 for at least one of: {', '.join(learning)}")
        grids = self._grids_on(targets.boxes.device)
        if self._label_weights is not None:
            self._label_weights = self._label_weights.to(targets.boxes.device)
        needed = {self._grid_of_exit[name] for name in weights}
        matches = {grid: match_anchors(targets, grids[grid], self.config.matcher_iou) for grid in sorted(needed)}
        weighted = []
        for name, weight in weights.items():
            grid = self._grid_of_exit[name]
            losses = multibox_loss(
                outputs[name],
                matches[grid],
                targets,
                grids[grid],
                self.config.negatives_per_positive,
                self.config.negatives_per_empty_image,
                self._focal,
                self._label_weights,
            )
            terms |= {f"{name}/{part}": loss for part, loss in losses.items()}
            weighted.append(weight / sum(weights.values()) * (losses["classification"] + losses["localization"]))
        return torch.stack(weighted).sum()

    def _diversity(self, outputs: Mapping[str, ExitOutput], learning: Sequence[str]) -> Iterable[Tensor]:
        return (diversity_loss(outputs[name], self.config.diversity.target_std) for name in learning)

    def _cascade(
        self, outputs: Mapping[str, ExitOutput], present: Sequence[str], learning: Sequence[str]
    ) -> Iterable[Tensor]:
        pairs = itertools.pairwise(present)
        return (cascade_loss(outputs[deep], outputs[shallow]) for shallow, deep in pairs if deep in learning)

    def _distill(self, outputs: Mapping[str, ExitOutput], learning: Sequence[str]) -> Iterable[Tensor]:
        teacher = self.exit_names[-1]
        if teacher not in outputs:
            return ()
        students = [name for name in learning if name != teacher]
        return (self._distill_one(outputs[name], outputs[teacher], name, teacher) for name in students)

    def _distill_one(self, student: ExitOutput, taught: ExitOutput, name: str, teacher: str) -> Float[Tensor, ""]:
        own, other = self._grid_of_exit[name], self._grid_of_exit[teacher]
        if own != other:
            grids = self._grids_on(student.class_logits.device)
            taught = project(taught, grids[other], grids[own], self.config.matcher_iou)
        return distill_loss(student, taught, self.config.distill)

    def _grids_on(self, device: torch.device) -> list[Tensor]:
        self._grids = [grid.to(device) for grid in self._grids]
        return self._grids

    @staticmethod
    def _in_order(what: str, names: Collection[str], known: Sequence[str]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            got = ", ".join(unknown) or "none"
            raise ValueError(f"{what} must name some of the exits {', '.join(known)}, got {got}")
        return tuple(name for name in known if name in names)


def _require_names(what: str, given: Collection[str], exit_names: Sequence[str]) -> None:
    missing = [name for name in exit_names if name not in given]
    if missing:
        raise ValueError(f"{what} must name every exit, got none for {', '.join(missing)}")


def _label_weights(config: LossConfig, boxes_per_class: Sequence[int] | None) -> Tensor | None:
    if config.class_balance_beta == 0:
        return None
    if boxes_per_class is None:
        raise ValueError("boxes_per_class must be given where loss.class_balance_beta is above 0")
    return torch.tensor(label_weights(boxes_per_class, config.class_balance_beta))


def _distinct_grids(
    anchors_by_exit: Mapping[str, Tensor], exit_names: Sequence[str]
) -> tuple[list[Tensor], dict[str, int]]:
    grids: list[Tensor] = []
    grid_of_exit: dict[str, int] = {}
    for name in exit_names:
        anchors = anchors_by_exit[name].detach()
        same = (index for index, grid in enumerate(grids) if torch.equal(grid, anchors))
        grid_of_exit[name] = next(same, len(grids))
        if grid_of_exit[name] == len(grids):
            grids.append(anchors)
    return grids, grid_of_exit
