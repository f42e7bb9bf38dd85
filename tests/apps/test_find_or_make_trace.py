"""Verbs that need a trace find the one that the `trace` verb keeps, or make it."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cascade_exit.apps.opening import TrainedModel
from cascade_exit.apps.trace import find_or_make_trace
from cascade_exit.config import TraceConfig
from cascade_exit.data import DataConfig, RoleFiles
from cascade_exit.runs import Manifest, UserError
from cascade_exit.trace import TRACE_NAME, read_trace, write_trace
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def config(cli, rooms, tmp_path_factory) -> TraceConfig:
    """To trace the kept cascade on four generated rooms."""
    runs = tmp_path_factory.mktemp("runs")
    assert cli("describe", *rooms, f"runs_root={runs}").code == 0  # generates the rooms
    data = DataConfig(root=rooms[0].split("=")[1], calibrate=RoleFiles("annotations/calibrate.json"))
    return TraceConfig(run=str(REPOSITORY / "models" / "chair"), data=data, split="calibrate", runs_root=str(runs))


@pytest.fixture(scope="module")
def model(config) -> TrainedModel:
    return TrainedModel.open(config.run, Path(config.runs_root), "cpu")


def trace_runs(config: TraceConfig) -> list[Path]:
    return sorted(Path(config.runs_root, "trace").glob("*/manifest.json"))


def test_made_once_and_found_by_the_verb(cli, config, model):
    trace, manifest = find_or_make_trace(model, config)
    assert (len(trace), trace.header.role, trace.header.model) == (4, "calibrate", model.fingerprint)
    again, same = find_or_make_trace(model, config)
    assert (len(again), same.id) == (4, manifest.id)
    words = ["data=coco", f"data.root={config.data.root}", "data.calibrate.annotations=annotations/calibrate.json"]
    answer = cli("trace", f"run={config.run}", "split=calibrate", *words, f"runs_root={config.runs_root}")
    assert answer.code == 0, answer.err
    assert Manifest.read(answer.run).id == manifest.id
    assert len(trace_runs(config)) == 1


HOLDER = """
import sys, time
from pathlib import Path
from cascade_exit.runs import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
"""


def test_one_that_another_command_is_making_is_waited_for(config, model, tmp_path, monkeypatch):
    find_or_make_trace(model, config)
    folder, lines = trace_runs(config)[0].parent, []

    def tell(line, **style):
        lines.append(line)
        (tmp_path / "told").touch()

    monkeypatch.setattr("cascade_exit.apps.opening.people", lambda: SimpleNamespace(print=tell))
    holder = [sys.executable, "-c", HOLDER, str(folder), str(tmp_path / "told")]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        trace, _ = find_or_make_trace(model, config)
    assert len(trace) == 4
    (line,) = lines
    assert line.startswith(f"{folder} is in use by process {process.pid}")


def test_what_lies_there_is_checked(config, model):
    find_or_make_trace(model, config)
    path = trace_runs(config)[0].parent / TRACE_NAME
    whole, trace = path.read_bytes(), read_trace(path)
    try:
        object.__setattr__(trace.header, "model", "0" * 16)
        write_trace(path, trace)
        with pytest.raises(UserError, match="made from other weights"):
            find_or_make_trace(model, config)
        path.write_bytes(whole[:-40])
        with pytest.raises(UserError, match="damaged"):
            find_or_make_trace(model, config)
    finally:
        path.write_bytes(whole)
