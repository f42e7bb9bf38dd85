"""How a sweep runs its jobs."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SlurmConfig:
    """`hydra.launcher.slurm`: what a job gets of a Slurm cluster, on each of as many machines as its trainer.num_nodes.

    Attributes:
        cluster: slurm; local: submitit runs jobs on this machine instead, to try things out.
        partition: none: the cluster's default.
        gpus: of a job on a machine.
        cpus: likewise.
        memory_gb: likewise; none: the cluster's default.
        hours: after which Slurm ends a job; it is asked to save before, and goes back into the queue.
        requeues: how often it goes back so.
        setup: shell lines before the job, such as module load.
        options: further flags of sbatch by name, such as account or qos.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    gpus: int = 1
    cpus: int = 4
    memory_gb: float | None = None
    hours: float = 24.0
    requeues: int = 10
    setup: tuple[str, ...] = ()
    options: dict[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _at_least("gpus", self.gpus, 0)
        _at_least("cpus", self.cpus, 1)
        _at_least("requeues", self.requeues, 0)
        if self.hours <= 0:
            raise ValueError(f"hours must be above 0, got {self.hours}")
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ValueError(f"memory_gb must be above 0, got {self.memory_gb}")


@dataclass(frozen=True)
class RayConfig:
    """`hydra.launcher.ray`: what a job gets of a Ray cluster.

    Attributes:
        address: of a cluster, such as 10.0.0.1:6379 or auto; local: one is made of this machine for the sweep.
        gpus: of a job.
        cpus: of a job.
    """

    address: str = "local"
    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        _at_least("gpus", self.gpus, 0)
        _at_least("cpus", self.cpus, 0)


@dataclass(frozen=True)
class LaunchConfig:
    """`hydra.launcher`.

    Attributes:
        parallel: jobs at a time, with slurm those that wait in its queue included; with local, from two on each job
            sees one GPU, where there are several.
        retries: further tries of a job that fails.
        on_failure: continue with the other jobs, or stop: let running jobs finish and start no more.
        dry_run: check every job and say what would run and why.
        executor: where jobs run: processes of this machine, jobs of Slurm, tasks of Ray.
        slurm: what a job gets there.
        ray: likewise.
    """

    parallel: int = 1
    retries: int = 0
    on_failure: Literal["continue", "stop"] = "continue"
    dry_run: bool = False
    executor: Literal["local", "slurm", "ray"] = "local"
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    ray: RayConfig = field(default_factory=RayConfig)

    def __post_init__(self) -> None:
        _at_least("parallel", self.parallel, 1)
        _at_least("retries", self.retries, 0)


def _at_least(key: str, value: int | float, least: int) -> None:
    if value < least:
        raise ValueError(f"{key} must be at least {least}, got {value}")
