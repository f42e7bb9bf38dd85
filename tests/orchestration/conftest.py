"""Sweeps of stub jobs."""

import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cascade_exit.orchestration import Job, LaunchConfig, Sweep, sweep_id
from cascade_exit.orchestration.job import labels
from cascade_exit.orchestration.view import View
from tests.conftest import REPOSITORY
from tests.orchestration.stub import stub_settings


class Bench:
    """A folder with runs, a sweep's ledger, and notes of what was started."""

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, ""

    def job(self, number: int, *words: str, **more: str) -> Job:
        overrides = (f"number={number}", f"desk={self.root}", f"runs_root={self.root}/runs", *words)
        config, identity = stub_settings(overrides)
        return Job("train", overrides, config | more, identity)

    def sweep(
        self,
        jobs: list[Job],
        folder: str | None = None,
        gpus: tuple[str, ...] = (),
        screen=None,
        through=None,
        **settings,
    ) -> tuple:
        """Runs a sweep; gives its exit code and the last rows by number."""
        console = Console(file=screen or io.StringIO(), width=200, force_terminal=screen is not None)
        with View(console, labels(jobs)) as view:
            place = self.root / "sweeps" / (folder or sweep_id(jobs))
            sweep = Sweep(jobs, LaunchConfig(**settings), place, view, through, gpus, self.command)
            code = sweep.run()
        self.said, self.folder = "" if screen else console.file.getvalue(), place
        return code, {job.config["number"]: sweep.rows.get(job.id) for job in jobs}

    @staticmethod
    def command(job: Job) -> list[str]:
        code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from tests.orchestration.stub import main; main()"
        return [sys.executable, "-c", code, *job.overrides]

    def starts(self, number: int) -> list[list[str]]:
        """Process id and GPU of every start of a job."""
        notes = self.root / f"started-{number}"
        return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

    def when(self, *files: str, then: Callable[[], object]) -> None:
        """Does something from another thread as soon as the jobs have made these files."""

        def watch() -> None:
            end = time.monotonic() + 60
            while not all((self.root / name).exists() for name in files) and time.monotonic() < end:
                time.sleep(0.02)
            then()

        threading.Thread(target=watch, daemon=True).start()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
