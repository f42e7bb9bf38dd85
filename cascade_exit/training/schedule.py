"""When what learns, and how fast: static, then exits, then joint, inside one training run."""

import math
from dataclasses import dataclass
from typing import Literal

from cascade_exit.model import FULL
from cascade_exit.training.config import PeriodConfig, ScheduleConfig

PeriodName = Literal["static", "exits", "joint"]


@dataclass(frozen=True)
class Period:
    """Epochs `start` to `stop` (exclusive) of one kind."""

    name: PeriodName
    start: int
    stop: int
    lr_scale: float


class Schedule:
    """The schedule of one training run.

    Args:
        config: shares of the periods.
        max_epochs: epochs in all; each period that has a share gets at least one.
        exit_names: exits of the model, shallow to deep.
        full_teaches: the last exit is needed while it does not learn itself.

    Raises:
        ValueError: there are fewer epochs than periods, or a period has nothing to train.
    """

    def __init__(
        self, config: ScheduleConfig, max_epochs: int, exit_names: tuple[str, ...], full_teaches: bool = True
    ) -> None:
        self.config, self.exit_names, self.full_teaches = config, exit_names, full_teaches
        shares: dict[PeriodName, PeriodConfig] = {"static": config.static, "exits": config.exits, "joint": config.joint}
        wanted = [(name, period) for name, period in shares.items() if period.share > 0]
        if max_epochs and len(wanted) > max_epochs:
            raise ValueError(
                f"trainer.max_epochs must be at least {len(wanted)} for the {len(wanted)} parts of schedule"
            )
        if config.exits.share > 0 and exit_names == (FULL,):
            raise ValueError("schedule.exits.share must be 0 for a model without early exits")
        self.periods: list[Period] = []
        start, covered = 0, 0.0
        for index, (name, period) in enumerate(wanted):
            covered += period.share
            left = len(wanted) - index - 1  # periods to come need an epoch each
            stop = max_epochs if not left else min(max(round(covered * max_epochs), start + 1), max_epochs - left)
            self.periods.append(Period(name, start, stop, period.lr_scale))
            start = stop

    def period_at(self, epoch: int) -> Period:
        """The period that holds an epoch; the last one from its start on."""
        return next((period for period in self.periods if epoch < period.stop), self.periods[-1])

    def runs(self, period: Period) -> tuple[str, ...]:
        """Exits whose answers are computed in training."""
        if period.name == "static":
            return (FULL,)
        return self.exit_names if period.name == "joint" or self.full_teaches else self.exit_names[:-1]

    def learns(self, period: Period) -> tuple[str, ...]:
        """Exits that learn; the others, if run, only teach."""
        return self.exit_names[:-1] if period.name == "exits" else self.runs(period)

    def lr_factor(self, step: int, steps_per_epoch: int) -> float:
        """Factor on the learning rate at an optimizer step: linear warm-up, then cosine decay, per period."""
        period = self.period_at(step // steps_per_epoch)
        steps = (period.stop - period.start) * steps_per_epoch
        warmup = min(round(self.config.warmup_epochs * steps_per_epoch), steps // 2)
        at = step - period.start * steps_per_epoch
        if at < warmup:
            return period.lr_scale * (at + 1) / (warmup + 1)
        done = min((at - warmup) / max(steps - warmup, 1), 1.0)
        low = self.config.final_lr_share
        return period.lr_scale * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done)))
