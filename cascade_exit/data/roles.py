"""The four roles of data, and how a file given for training is cut into three of them."""

from dataclasses import dataclass
from typing import Literal, get_args

from cascade_exit.data.randomness import unit_hash

Role = Literal["train", "val", "calibrate", "test"]
ROLES: tuple[Role, ...] = get_args(Role)
# What can be measured on: the images of a role, or all that no weights were trained or chosen on.
Measurable = Literal["train", "val", "calibrate", "test", "unseen"]
UNSEEN: tuple[Role, ...] = ("calibrate", "test")


@dataclass(frozen=True)
class SplitConfig:
    """How a file given for training is cut; what neither val nor calibrate takes is train.

    Args:
        val: Share of the groups that choose the checkpoint.
        calibrate: Share of the groups that policies are tuned on.
        salt: Another text makes another cut.

    Raises:
        ValueError: A share is negative, or nothing is left for training.
    """

    val: float = 0.1
    calibrate: float = 0.1
    salt: str = "roles"

    def __post_init__(self) -> None:
        for key in ("val", "calibrate"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} must be in [0, 1), got {getattr(self, key)}")
        if self.val + self.calibrate >= 1:
            raise ValueError(f"val + calibrate must be below 1, got {self.val + self.calibrate}")


def role_of(group: str, split: SplitConfig) -> Role:
    """Role of a group of images: a function of its name alone, so it stays when the set grows or shrinks."""
    position = unit_hash(split.salt, group)
    if position < split.calibrate:
        return "calibrate"
    return "val" if position < split.calibrate + split.val else "train"
