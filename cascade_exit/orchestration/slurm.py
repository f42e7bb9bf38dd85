"""Jobs on Slurm, handed in by submitit; or by submitit on this machine, to try the same out without a cluster."""

import getpass
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from cascade_exit.orchestration.executor import Handle, Order
from cascade_exit.orchestration.far_end import FarEnd
from cascade_exit.orchestration.remote import RemoteJob
from cascade_exit.orchestration.settings import SlurmConfig
from cascade_exit.runs import UserError

QUEUE_SECONDS = 10.0  # between two looks at the queue: its controller serves a whole cluster
_WARNING_SECONDS = 120  # before the time is up, to save and go back into the queue
# Lightning starts the further processes on a machine itself, as it does anywhere else, and asks Slurm for none.
_ONE_TASK = {"SLURM_JOB_NAME": "interactive"}


class SlurmExecutor:
    """Hands jobs to Slurm; they outlive the sweep, and a later call takes them up again."""

    lasting = True

    def __init__(self, settings: SlurmConfig, folder: Path) -> None:
        """Reaches for submitit.

        Args:
            settings: what a job gets.
            folder: of the sweep; what submitit keeps lies in `submitted`.

        Raises:
            UserError: submitit or Slurm is not there.
        """
        try:
            import submitit
        except ImportError:
            raise UserError("hydra.launcher.executor=slurm needs submitit: pip install 'cascade_exit[slurm]'") from None
        self._local = settings.cluster == "local"
        self.spreads = not self._local
        self._folder = folder.absolute() / "submitted"
        try:
            self._executor = submitit.AutoExecutor(
                self._folder, cluster=settings.cluster, slurm_max_num_timeout=settings.requeues
            )
            self._executor.update_parameters(**_parameters(settings))
        except RuntimeError:  # no srun
            raise UserError(
                "hydra.launcher.executor=slurm: there is no srun here; give the command on a machine of the cluster, "
                "or hydra.launcher.slurm.cluster=local to try it out"
            ) from None
        self._queue = _Queue()

    def submit(self, order: Order, gpu: str | None) -> Handle:
        """Hands a job in.

        Raises:
            UserError: sbatch refused it.
        """
        from submitit.core.utils import FailedJobError

        log, note = order.log.absolute(), order.note.absolute()
        doing = FarEnd(order.command, Path.cwd(), log, note, changes=_ONE_TASK, nodes=order.nodes)
        self._executor.update_parameters(name=f"cascade-exit-{order.name}", nodes=order.nodes)
        try:
            job = self._executor.submit(doing)
        except (FailedJobError, OSError) as error:
            lines = str(error).strip().splitlines() or ["no reason given"]
            raise UserError(f"Slurm did not take job {order.name}: {lines[-1]}") from None
        if self._local:
            return _LocalJob(order, f"submitit:{job.job_id}", job)
        self._queue.forget()
        return _SlurmJob(order, f"slurm:{job.job_id}", self._queue)

    def find(self, order: Order, submission: str) -> Handle | None:
        """The job that an earlier call handed in, where the queue still has it."""
        kind, _, number = submission.partition(":")
        if kind == "slurm" and not self._local and self._queue.has(number):
            return _SlurmJob(order, submission, self._queue)
        return None


def _parameters(settings: SlurmConfig) -> dict[str, Any]:
    """The settings in submitit's words."""
    shared = {
        "timeout_min": max(1, round(settings.hours * 60)),
        "tasks_per_node": 1,  # of every node; see `nodes`
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        "mem_gb": settings.memory_gb,
    }
    slurm = {
        "slurm_partition": settings.partition,
        "slurm_signal_delay_s": _WARNING_SECONDS,
        "slurm_setup": list(settings.setup) or None,
        # Puts a job back into the queue whose machine is taken away or fails.
        "slurm_additional_parameters": {"requeue": True} | settings.options,
    }
    return {key: value for key, value in (shared | slurm).items() if value is not None}


class _Queue:
    """Which jobs of this user wait or run, asked for all of them at once."""

    def __init__(self) -> None:
        self._asked = float("-inf")
        self._jobs: set[str] | None = None

    def has(self, job: str) -> bool:
        """Whether it waits or runs; yes where the controller does not answer."""
        if time.monotonic() - self._asked >= QUEUE_SECONDS:
            self._jobs = self._ask()
            self._asked = time.monotonic()
        return self._jobs is None or job in self._jobs

    def forget(self) -> None:
        """Asks anew at the next look."""
        self._asked = float("-inf")

    @staticmethod
    def _ask() -> set[str] | None:
        words = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i"]
        try:
            answer = subprocess.run(words, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return set(answer.stdout.split()) if answer.returncode == 0 else None


class _SlurmJob(RemoteJob):
    def __init__(self, order: Order, submission: str, queue: _Queue) -> None:
        super().__init__(order, submission)
        self._number, self._queue = submission.partition(":")[2], queue

    def there(self) -> bool:
        return self._queue.has(self._number)

    def cancel(self) -> None:
        # Slurm sends SIGTERM, and SIGKILL half a minute later.
        self._scancel()

    def kill(self) -> None:
        if self.ended() is None:
            self._scancel("--signal=KILL", "--full")

    def _scancel(self, *words: str) -> None:
        subprocess.run(["scancel", *words, self._number], capture_output=True, timeout=60)
        self._queue.forget()


class _LocalJob(RemoteJob):
    def __init__(self, order: Order, submission: str, job: Any) -> None:
        super().__init__(order, submission)
        self._job = job

    def there(self) -> bool:
        return not self._job.done()

    def cancel(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.ended() is None:
            self._signal(signal.SIGINT)  # on which submitit kills what it started

    def _signal(self, signum: int) -> None:
        if self.there():
            os.kill(int(self._job.job_id), signum)
