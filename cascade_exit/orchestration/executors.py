"""Opens the executor that settings ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cascade_exit.orchestration.executor import Executor, LocalExecutor
from cascade_exit.orchestration.settings import LaunchConfig


@contextmanager
def open_executor(settings: LaunchConfig, folder: Path) -> Iterator[Executor]:
    """The executor asked for, as long as the block runs.

    Args:
        settings: which, and how.
        folder: of the sweep.

    Raises:
        UserError: it cannot be had here.
    """
    if settings.executor == "slurm":
        from cascade_exit.orchestration.slurm import SlurmExecutor

        yield SlurmExecutor(settings.slurm, folder)
    elif settings.executor == "ray":
        from cascade_exit.orchestration.ray_tasks import open_ray

        with open_ray(settings.ray) as executor:
            yield executor
    else:
        yield LocalExecutor()
