"""Which logger a run writes to; nothing here decides its result."""

from dataclasses import dataclass
from typing import Literal

from cascade_exit.runs import not_identity


@dataclass(frozen=True)
class LoggerConfig:
    """Where measurements are shown.

    Attributes:
        name: ``wandb``, ``csv`` or ``tensorboard``.
        project: W&B project.
        group: W&B group, such as the name of a sweep.
        tags: W&B tags.
        mode: Whether W&B sends anything; ``auto`` is online only where an API key is at hand, and otherwise
            ``WANDB_MODE`` or offline.
    """

    name: Literal["wandb", "csv", "tensorboard"] = not_identity("wandb")
    project: str = not_identity("cascade_exit")
    group: str | None = not_identity(None)
    tags: tuple[str, ...] = not_identity(())
    mode: Literal["auto", "offline", "online", "disabled"] = not_identity("auto")

    def __post_init__(self) -> None:
        """Check the project's name.

        Raises:
            ValueError: When it is empty.
        """
        if not self.project:
            raise ValueError("project must be the name of a W&B project, got ''")
