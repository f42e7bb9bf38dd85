"""Commands run as a user would run them, and a tiny generated set."""

import contextlib
import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
from hydra.core.global_hydra import GlobalHydra

REPOSITORY = Path(__file__).parents[1]
# Commands that log to W&B write nothing, but in the tests that look at it.
os.environ["WANDB_MODE"] = "disabled"
# absl, which OpenVINO imports where it is installed, closes the stream that sys.stderr was at that time as soon as
# logging is configured anew: the one that pytest captures with. It leaves this one alone.
with contextlib.suppress(ImportError):
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
TINY_ROOMS = [
    "data.rooms.images.train=24",
    "data.rooms.images.val=8",
    "data.rooms.images.calibrate=4",
    "data.rooms.images.test=8",
]


class Answer(NamedTuple):
    """What a command left on the terminal."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Lines that say what was wrong."""
        return [line.removeprefix("Error: ") for line in self.err.strip().splitlines()]

    @property
    def run(self) -> Path:
        """The run folder: the last line on stdout."""
        return Path(self.out.strip().splitlines()[-1])


def call(*words: str) -> Answer:
    """Runs `cascade-exit …` in this process."""
    from cascade_exit.apps.cli import main

    GlobalHydra.instance().clear()
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["cascade-exit", *words]),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli() -> Callable[..., Answer]:
    """Runs `cascade-exit …` in this process; see `call`."""
    return call


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `cascade-exit …` in a process of its own."""
    code = "import sys; from cascade_exit.apps.cli import main; sys.argv[0] = 'cascade-exit'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def processes_with(text: str) -> list[int]:
    """Ids of all processes with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def jumping_clock(monkeypatch) -> None:
    """A clock that is set on by a year, or back by ten, at every look; what only counts seconds goes on evenly."""
    years = itertools.cycle([0, 1, -10, 3])
    truth = time.time

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(time.time(), tz)

    monkeypatch.setattr("time.time", lambda: truth() + next(years) * 365 * 86_400)
    monkeypatch.setattr("cascade_exit.runs.provenance.datetime", Moment)


@pytest.fixture(scope="session")
def rooms(tmp_path_factory) -> list[str]:
    """Overrides that name a tiny generated set."""
    return [f"data.root={tmp_path_factory.mktemp('rooms')}", *TINY_ROOMS]
