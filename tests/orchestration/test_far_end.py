"""Whoever stands by a job sees its end through."""

import signal
import subprocess
import sys
import time

from tests.conftest import REPOSITORY

# Ends cleanly, but not at once.
JOB = """
import pathlib, signal, sys, time
def leave(*_):
    time.sleep(1)
    pathlib.Path("clean").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
pathlib.Path("working").touch()
time.sleep(60)
"""
STANDS_BY = """
import signal, sys
from pathlib import Path
from cascade_exit.orchestration.far_end import FarEnd
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores Ctrl-C
here = Path.cwd()
FarEnd([sys.executable, "-c", sys.argv[1]], here, here / "log", here / "note")()
"""


def test_a_second_signal_does_not_cut_the_end_of_a_job_short(tmp_path):
    words = [sys.executable, "-c", STANDS_BY, JOB]
    process = subprocess.Popen(words, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "working").exists() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)  # as Ray cancels
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)  # as Ray ends its worker
        process.wait(30)
        assert (tmp_path / "clean").exists()
    finally:
        process.kill()
