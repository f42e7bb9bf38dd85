"""How a sweep runs its jobs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LaunchConfig:
    """`hydra.launcher`.

    Attributes:
        parallel: jobs at a time; from two on each job sees one GPU, where there are several.
        retries: further tries of a job that fails.
        on_failure: continue with the other jobs, or stop: let running jobs finish and start no more.
        dry_run: check every job and say what would run and why.
        executor: where jobs run.
    """

    parallel: int = 1
    retries: int = 0
    on_failure: Literal["continue", "stop"] = "continue"
    dry_run: bool = False
    executor: Literal["local"] = "local"

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ValueError(f"parallel must be at least 1, got {self.parallel}")
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0, got {self.retries}")
