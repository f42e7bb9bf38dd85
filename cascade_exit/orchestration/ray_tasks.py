"""Jobs as Ray tasks, on a cluster that is there or on one that is made of this machine."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cascade_exit.orchestration.executor import Handle, Order
from cascade_exit.orchestration.far_end import FarEnd, do
from cascade_exit.orchestration.remote import RemoteJob
from cascade_exit.orchestration.settings import RayConfig
from cascade_exit.runs import UserError

_STORE_BYTES = 80 * 2**20  # jobs hand nothing over
_KILL_SECONDS = 10.0


@contextmanager
def open_ray(settings: RayConfig) -> Iterator["RayExecutor"]:
    """A connection to Ray.

    Raises:
        UserError: Ray is not installed, no cluster answers, or it has nothing of what a job needs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError("hydra.launcher.executor=ray needs Ray: pip install 'cascade_exit[ray]'") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.address == "local":
        options |= {"object_store_memory": _STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(settings.address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"hydra.launcher.ray.address={settings.address}: {reason}") from None
    try:
        _refuse_what_never_runs(settings, ray.cluster_resources())
        yield RayExecutor(settings)
    finally:
        ray.shutdown()


def _refuse_what_never_runs(settings: RayConfig, there: dict[str, float]) -> None:
    for key, name, asked in (("gpus", "GPU", settings.gpus), ("cpus", "CPU", settings.cpus)):
        if asked > there.get(name, 0):
            raise UserError(f"hydra.launcher.ray.{key}={asked:g}: the cluster has {there.get(name, 0):g} in all")


class RayExecutor:
    """Hands jobs to Ray; they end with the sweep."""

    lasting, spreads = False, False

    def __init__(self, settings: RayConfig) -> None:
        """Starts nothing; Ray is connected."""
        import ray

        # A task that is lost is a failed try, which the sweep counts and repeats.
        needs: dict[str, Any] = {"num_cpus": settings.cpus, "num_gpus": settings.gpus, "max_retries": 0}
        self._task = ray.remote(**needs)(do)

    def submit(self, order: Order, gpu: str | None) -> Handle:
        """Hands a job in; it works in this folder, with these variables, on whatever machine."""
        doing = FarEnd(order.command, Path.cwd(), order.log.absolute(), order.note.absolute(), os.environ)
        reference = self._task.options(name=f"cascade-exit-{order.name}").remote(doing)
        return _RayJob(order, f"ray:{reference.task_id().hex()[:8]}", reference)

    def find(self, order: Order, submission: str) -> Handle | None:
        """None: Ray ends the tasks of a sweep that is gone."""
        return None


class _RayJob(RemoteJob):
    def __init__(self, order: Order, submission: str, reference: Any) -> None:
        super().__init__(order, submission)
        self._reference = reference

    def there(self) -> bool:
        import ray

        # Ray may give a cancelled task up while its process is still ending cleanly.
        return not ray.wait([self._reference], timeout=0)[0] or self._works_here()

    def _works_here(self) -> bool:
        if self.holder is None or self.holder[0] != socket.gethostname():
            return False
        try:
            os.kill(self.holder[1], 0)
        except OSError:
            return False
        return True

    def cancel(self) -> None:
        import ray

        ray.cancel(self._reference)

    def kill(self) -> None:
        import ray

        if self.ended() is None:
            ray.cancel(self._reference, force=True)
            end = time.monotonic() + _KILL_SECONDS
            while self.there() and time.monotonic() < end:
                time.sleep(0.05)
