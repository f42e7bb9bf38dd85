"""Runs the jobs of a sweep: what is finished is left alone, what is missing is started, and all of it can be ended."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from cascade_exit.orchestration.executor import Executor, Handle, LocalExecutor, Order
from cascade_exit.orchestration.gpus import next_gpu
from cascade_exit.orchestration.job import Job, command_of
from cascade_exit.orchestration.ledger import JobState, Ledger, LedgerRow
from cascade_exit.orchestration.progress import Progress
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.standing import Standing, ap_of_exits, job_standing, run_held_by
from cascade_exit.orchestration.view import View
from cascade_exit.runs import Manifest, UserError, hold_lock, utc_now

POLL_SECONDS = 0.25
READ_SECONDS = 2.0  # between two looks at the records of running jobs
GRACE_SECONDS = 30.0  # for a job to end after SIGTERM
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Running:
    job: Job
    handle: Handle
    progress: Progress
    dropped: float | None = None  # `time.monotonic()` when it was asked to end


class Sweep:
    """A sweep in its folder, with its ledger and its jobs' logs."""

    def __init__(
        self,
        jobs: Sequence[Job],
        settings: LaunchConfig,
        folder: Path,
        view: View,
        executor: Executor | None = None,
        gpus: Sequence[str] = (),
        command: Callable[[Job], list[str]] = command_of,
        standing: Callable[[Job, LedgerRow | None], Standing] | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            jobs: what to run, each once.
            settings: how.
            folder: of the ledger and logs.
            view: where it is shown.
            executor: takes the jobs; none: processes of this machine.
            gpus: those to hand out, one per job.
            command: the command line that does a job.
            standing: how a job with this last row stands; none: `job_standing` says.
        """
        self._jobs, self._settings, self._folder, self._view = list(jobs), settings, folder, view
        self._executor, self._gpus = executor or LocalExecutor(), gpus
        self._command, self._standing = command, standing or job_standing
        self._waiting: deque[Job] = deque()
        self._running: list[_Running] = []
        self._failures: dict[str, int] = {}  # in this call
        self._stopped = False
        self._last_read = 0.0

    @property
    def rows(self) -> dict[str, LedgerRow]:
        """The last row of every job that has one."""
        return self._ledger.rows

    def run(self) -> int:
        """Runs what is missing.

        Returns:
            The exit code: 0 where all jobs are finished, 1 where not, 128 + the signal that ended the sweep.

        Raises:
            UserError: the same sweep runs in another process, or its ledger cannot be read.
        """
        with self.at_work() as caught:
            for job in list(self._jobs):
                self.add(job)
            while self.busy and not caught:
                self.step()
        if caught:
            return 128 + caught[0]
        return int(any(job.id not in self.rows or self.rows[job.id].state != "finished" for job in self._jobs))

    @contextmanager
    def at_work(self) -> Iterator[list[int]]:
        """Holds the folder and reads the ledger; at the end of the block every job is ended.

        Yields:
            The signals that asked the sweep to end, as they come.

        Raises:
            UserError: the same sweep runs in another process, or its ledger cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._folder), _caught_signals() as caught:
            self._ledger = Ledger(self._folder)
            try:
                yield caught
            finally:
                # Also where the ledger could not be written: no job outlives the sweep.
                self._end_all(caught)

    @property
    def busy(self) -> bool:
        """Whether a job waits or runs."""
        return bool(self._waiting or self._running)

    @property
    def stopped(self) -> bool:
        """Whether a failure lets no more jobs start (on_failure=stop)."""
        return self._stopped

    def holds(self, job: Job) -> bool:
        """Whether this job waits or runs here."""
        return job in self._waiting or any(running.job == job for running in self._running)

    def progress_of(self, job: Job) -> Progress | None:
        """How far it is, while it runs here."""
        return next((running.progress for running in self._running if running.job == job), None)

    def add(self, job: Job) -> None:
        """Lets a job run unless it is finished or open elsewhere; its row then says so.

        Raises:
            UserError: it needs several machines, and the executor starts jobs on one.
        """
        if job.nodes > 1 and not self._executor.spreads:
            raise UserError(
                f"trainer.num_nodes={job.nodes}: only hydra.launcher.executor=slurm starts a job on several machines"
            )
        if job not in self._jobs:
            self._jobs.append(job)
        standing = self._standing(job, self.rows.get(job.id))
        if standing.state != "finished" and self._take_up(job):
            return
        if standing.state == "due":
            self._waiting.append(job)
        else:
            self._leave(job, standing)

    def step(self) -> None:
        """Starts what may start, shows what runs, and puts on record what has ended."""
        self._start_some()
        self._show()
        time.sleep(POLL_SECONDS if self._running else 0)
        self._collect()

    def drop(self, job: Job) -> None:
        """Lets a job end whose result is no longer wanted; it is put down as interrupted."""
        for running in self._running:
            if running.job == job and running.dropped is None:
                running.dropped = time.monotonic()
                running.handle.ask_to_end()

    def _take_up(self, job: Job) -> bool:
        """Stands by a job that an earlier call handed in and that still waits or runs."""
        row = self.rows.get(job.id)
        if row is None or row.state != "running" or row.submission is None:
            return False
        handle = self._executor.find(self._order(job, row.tries), row.submission)
        if handle is None:
            return False
        self._running.append(_Running(job, handle, Progress(job.epochs)))
        self._view.say(job, f"taken up again ({row.submission})")
        return True

    def _leave(self, job: Job, standing: Standing) -> None:
        """A job that is finished, or that another process has open."""
        assert standing.manifest is not None
        if standing.state == "running":
            self._view.say(job, standing.why)
            self._note(job, "running", standing.run, standing.manifest)
        elif not self._says_finished(job, standing):
            self._note(job, "finished", standing.run, standing.manifest)

    def _says_finished(self, job: Job, standing: Standing) -> bool:
        row = self.rows.get(job.id)
        return row is not None and row.state == "finished" and row.run == str(standing.run)

    def _start_some(self) -> None:
        while self._waiting and len(self._running) < self._settings.parallel and not self._stopped:
            job = self._waiting.popleft()
            # Looked at again: another sweep may have taken it meanwhile.
            standing = self._standing(job, self.rows.get(job.id))
            if standing.state == "due":
                self._start(job, standing)
            else:
                self._leave(job, standing)
        if self._stopped:
            self._waiting.clear()

    def _start(self, job: Job, standing: Standing) -> None:
        before = self.rows.get(job.id)
        tries = (before.tries if before else 0) + 1
        gpu = next_gpu(self._gpus, [running.handle.gpu for running in self._running])
        handle = self._executor.submit(self._order(job, tries), gpu)
        self._running.append(_Running(job, handle, Progress(job.epochs)))
        seconds, run = before.seconds if before else 0.0, _text(standing.run)
        self._ledger.write(LedgerRow(job.id, job.overrides, "running", tries, seconds, run, handle.submission))
        done = f"handed in as {handle.submission}" if handle.submission else "started"
        self._view.say(job, f"{done} (try {tries})" if tries > 1 else done)

    def _order(self, job: Job, tries: int) -> Order:
        log, note = self._folder / "logs" / f"{job.id}.log", self._folder / "notes" / f"{job.id}-{tries}.json"
        return Order(job.id, self._command(job), log, note, job.nodes)

    def _show(self) -> None:
        if time.monotonic() - self._last_read < READ_SECONDS:
            return
        self._last_read = time.monotonic()
        for running in self._running:
            self._find_run(running)
            running.progress.read()
        shown = [(r.job, r.progress, time.monotonic() - r.handle.begun, r.handle.place) for r in self._running]
        ended = len(self._jobs) - len(self._running) - len(self._waiting)
        self._view.refresh(shown, len(self._waiting), ended)

    def _find_run(self, running: _Running) -> None:
        if running.progress.run is not None:
            return
        if run := _run_of(running):
            running.progress.found(run)
            self._ledger.write(replace(self.rows[running.job.id], run=str(run), time=utc_now()))

    def _collect(self) -> None:
        for running in list(self._running):
            code = running.handle.ended()
            if code is not None:
                self._running.remove(running)
                self._settle(running, code, stopping=running.dropped is not None)
            elif running.dropped is not None and time.monotonic() - running.dropped > GRACE_SECONDS:
                running.handle.kill()

    def _settle(self, running: _Running, code: int, stopping: bool) -> None:
        """Puts on record how a process ended; its run's manifest has the last word."""
        job = running.job
        error = running.handle.error_line(code) if code else "it ended without a finished run"
        run = _run_named(running.handle.close()) or running.progress.run
        manifest = _manifest(run)
        if manifest is not None and manifest.state == "finished":
            self._note(job, "finished", run, manifest)
            self._view.say(job, f"finished in {self.rows[job.id].seconds:.0f} s")
            return
        if stopping:
            self._note(job, "interrupted", run, manifest)
            return
        standing = self._standing(job, self.rows[job.id])
        if standing.state == "running":
            self._leave(job, standing)
            return
        self._note(job, "failed", standing.run, standing.manifest, error)
        self._view.say(job, f"failed: {error}")
        self._after_failure(job)

    def _after_failure(self, job: Job) -> None:
        self._failures[job.id] = self._failures.get(job.id, 0) + 1
        if self._failures[job.id] <= self._settings.retries:
            self._waiting.append(job)
        elif self._settings.on_failure == "stop" and not self._stopped:
            self._stopped = True
            self._view.say(None, "No more jobs are started (on_failure=stop).")

    def _note(
        self, job: Job, state: JobState, run: Path | None, manifest: Manifest | None, error: str | None = None
    ) -> None:
        before = self.rows.get(job.id) or LedgerRow(job.id, job.overrides, state)
        self._ledger.write(
            LedgerRow(
                id=job.id,
                overrides=job.overrides,
                state=state,
                tries=before.tries,
                seconds=manifest.times.seconds if manifest else before.seconds,
                run=_text(run) or before.run,
                submission=before.submission,
                error=error,
                metrics=ap_of_exits(manifest.metrics) if manifest else {},
            )
        )

    def _end_all(self, caught: list[int]) -> None:
        """Ends what still runs: SIGTERM, and SIGKILL after a grace time or at a second signal."""
        if caught[:1] == [signal.SIGHUP] and self._executor.lasting:
            self._view.say(None, f"Leaving {len(self._running)} jobs where they are; the same command takes them up.")
            self._running.clear()
        if not self._running:
            return
        for running in self._running:
            # Looked up, not written down yet: a ledger that cannot be written must not keep a job alive.
            running.progress.run = running.progress.run or _run_of(running)
            running.handle.ask_to_end()
        self._view.say(None, f"Ending {len(self._running)} jobs; once more to end them at once.")
        end, signals = time.monotonic() + GRACE_SECONDS, len(caught)
        codes: dict[str, int] = {}
        try:
            while len(codes) < len(self._running) and time.monotonic() < end and len(caught) <= signals:
                time.sleep(0.05)
                ended = {r.job.id: r.handle.ended() for r in self._running if r.job.id not in codes}
                codes |= {job: code for job, code in ended.items() if code is not None}
        finally:
            for running in self._running:
                running.handle.kill()
        for running in self._running:
            self._settle(running, codes.get(running.job.id, -signal.SIGKILL), stopping=True)
        self._running.clear()


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Gathers the signals that ask the sweep to end, instead of being ended by them."""
    caught: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        caught.append(signum)

    before = {signum: signal.signal(signum, note) for signum in _SIGNALS}
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _run_of(running: _Running) -> Path | None:
    return run_held_by(running.job, running.handle.holder) if running.handle.holder else None


def _run_named(answer: str) -> Path | None:
    """The run folder on the last line of what a verb wrote to stdout."""
    lines = answer.strip().splitlines()
    return Path(lines[-1]) if lines and os.path.isdir(lines[-1]) else None


def _manifest(run: Path | None) -> Manifest | None:
    try:
        return Manifest.read(run) if run else None
    except UserError:
        return None


def _text(run: Path | None) -> str | None:
    return str(run) if run else None
