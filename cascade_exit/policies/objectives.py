"""Which operating point to take: the most AP or the most speed that the limits leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from cascade_exit.runs import UserError


@runtime_checkable
class Figures(Protocol):
    """What limits are set on: an operating point, a score."""

    @property
    def ap(self) -> float:
        """Average precision."""

    @property
    def mean_cost(self) -> float:
        """Per image."""

    @property
    def speedup(self) -> float:
        """Over the baseline."""

    @property
    def relative_ap_drop(self) -> float:
        """Against the baseline."""


F = TypeVar("F", bound=Figures)


@dataclass(frozen=True)
class Objective:
    """What to reach, and within which limits.

    Attributes:
        goal: `max_ap` takes the highest AP (of equal ones the cheapest), `max_speedup` the highest speedup (of equal
            ones the one with the highest AP).
        min_speedup: over the baseline.
        max_relative_ap_drop: against the baseline; 0.03 is 3 %.
        budget_ms: highest mean cost; costs must be milliseconds.
    """

    goal: Literal["max_ap", "max_speedup"] = "max_ap"
    min_speedup: float | None = None
    max_relative_ap_drop: float | None = None
    budget_ms: float | None = None

    def __post_init__(self) -> None:
        for key in ("min_speedup", "budget_ms"):
            limit = getattr(self, key)
            if limit is not None and not limit > 0:
                raise ValueError(f"{key} must be above 0, got {limit}")
        if self.max_relative_ap_drop is not None and not self.max_relative_ap_drop < 1:
            raise ValueError(f"max_relative_ap_drop must be below 1, got {self.max_relative_ap_drop}")
        if self.goal == "max_speedup" and self.max_relative_ap_drop is None:
            raise ValueError("max_relative_ap_drop must be given with objective max_speedup, got none")


def pick_point(points: Sequence[F], objective: Objective) -> F:
    """The best point within the limits.

    Raises:
        UserError: no point, or none within the limits; it names the nearest.
    """
    best = nearest_point(points, objective)
    if excess(best, objective) > 0:
        raise UserError(nothing_within(points, objective))
    return best


def nearest_point(points: Sequence[F], objective: Objective) -> F:
    """The best point within the limits; where none is within, the one that is least beyond.

    Raises:
        UserError: no point.
    """
    if not points:
        raise UserError("operating points: there are none to choose from")
    return min(points, key=lambda point: preference(point, objective))


def preference(point: Figures, objective: Objective) -> tuple[float, float, float]:
    """What to sort by, the best first: within the limits before beyond, then what the objective asks for."""
    if objective.goal == "max_ap":
        return excess(point, objective), -point.ap, point.mean_cost
    return excess(point, objective), -point.speedup, -point.ap


def excess(point: Figures, objective: Objective) -> float:
    """How far a point is beyond the limits, as a share of each; 0 within them."""
    beyond = 0.0
    if objective.min_speedup is not None:
        beyond += max(0.0, objective.min_speedup / point.speedup - 1)
    if objective.budget_ms is not None:
        beyond += max(0.0, point.mean_cost / objective.budget_ms - 1)
    if objective.max_relative_ap_drop is not None:
        beyond += max(0.0, point.relative_ap_drop - objective.max_relative_ap_drop)
    return beyond


def nothing_within(points: Sequence[Figures], objective: Objective) -> str:
    """A line that says so, and what the nearest is."""
    nearest = nearest_point(points, objective)
    limits = [
        f"{key}={value:g}"
        for key in ("min_speedup", "max_relative_ap_drop", "budget_ms")
        if (value := getattr(objective, key)) is not None
    ]
    return (
        f"{' '.join(limits)}: none of {len(points)} operating points is within; the nearest has speedup "
        f"{nearest.speedup:.2f}, relative AP drop {nearest.relative_ap_drop:.3f} and mean cost "
        f"{nearest.mean_cost:.4g}; the highest speedup is {max(point.speedup for point in points):.2f}, "
        f"the smallest drop {min(point.relative_ap_drop for point in points):.3f}"
    )
