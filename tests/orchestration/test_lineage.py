"""What comes from what, and which runs no longer say what would come out today."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cascade_exit.orchestration import KnownRun, Lineage
from cascade_exit.runs import GitState, Manifest, hold_lock, open_run
from cascade_exit.runs import run as run_module

THEN, NOW = GitState("a" * 40, False), GitState("b" * 40, False)


@dataclass(frozen=True)
class Number:
    """Makes runs differ."""

    number: int = 0


class Shelf:
    """Runs that are made in a moment."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, verb: str, number: int, *parents: str, weights: bytes = b"", **data: str) -> str:
        with open_run(
            verb, Number(number), command=f"{verb} {number}", parents=parents, data=data, root=self.root
        ) as run:
            if weights:
                (run.folder / "checkpoints").mkdir()
                (run.folder / "checkpoints" / "best.ckpt").write_bytes(weights)
        return run.id

    def folder(self, run: str) -> Path:
        return next(self.root.glob(f"*/*-{run}"))

    def anew(self, run: str, year: int = 2999) -> None:
        manifest = Manifest.read(self.folder(run))
        manifest.times.started = f"{year}-01-01T00:00:00+00:00"
        manifest.write(self.folder(run))

    def why(self, run: str, git: GitState | None = THEN) -> list[str]:
        return Lineage(self.root, git).why_stale(KnownRun.read(self.folder(run)))


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    monkeypatch.setattr(run_module, "git_state", lambda: THEN)
    return Shelf(tmp_path / "runs")


def test_parents_and_children_without_detours(shelf):
    static = shelf.run("train", 1)
    cascade = shelf.run("train", 2, static)
    trace = shelf.run("trace", 3, cascade)
    tune = shelf.run("tune", 4, cascade, trace, static)
    evaluate = shelf.run("evaluate", 5, cascade, static, tune)
    lineage = Lineage(shelf.root, THEN)
    children = {name: [child.id for child in lineage.children(name)] for name in lineage.runs}
    assert children == {static: [cascade], cascade: [trace], trace: [tune], tune: [evaluate], evaluate: []}
    assert lineage.parents(lineage.runs[evaluate]) == [tune]
    assert lineage.parents(lineage.runs[tune]) == [trace]


def test_a_fresh_run_is_not_stale(shelf):
    train = shelf.run("train", 1, weights=b"one")
    assert shelf.why(shelf.run("trace", 2, train)) == []


def test_other_code(shelf):
    train = shelf.run("train", 1)
    trace = shelf.run("trace", 2, train)
    assert shelf.why(trace, NOW) == ["other code (aaaaaaaa)"]  # and not that of its parent as well
    assert shelf.why(trace, None) == []


@pytest.mark.parametrize("year", [1999, 2999], ids=["clock set back", "clock set on"])
def test_a_parent_that_is_gone_or_was_run_anew(shelf, year):
    train = shelf.run("train", 1)
    trace = shelf.run("trace", 2, train)
    tune = shelf.run("tune", 3, trace)
    shelf.anew(train, year)
    assert shelf.why(trace) == [f"train {train} was run anew since"]
    assert shelf.why(tune) == [f"trace {trace} is stale"]
    (shelf.folder(train) / "manifest.json").unlink()
    assert shelf.why(trace) == [f"{train} is gone"]


def test_a_clock_that_was_wrong_when_the_parent_was_made(shelf):
    train = shelf.run("train", 1)
    shelf.anew(train)
    trace = shelf.run("trace", 2, train)
    assert Manifest.read(shelf.folder(trace)).times.started < Manifest.read(shelf.folder(train)).times.started
    assert shelf.why(trace) == []


def test_a_run_that_still_stands_for_a_parent_run_anew_is_not_stale_once_it_was_looked_at(shelf):
    train = shelf.run("train", 1)
    trace = shelf.run("trace", 2, train)
    shelf.anew(train)
    before = Manifest.read(shelf.folder(trace))
    assert shelf.run("trace", 2, train) == trace  # finished, and found by its id
    assert shelf.why(trace) == []
    after = Manifest.read(shelf.folder(trace))
    assert replace(after, made_from=before.made_from) == before


def test_weights_tell_more_than_times(shelf):
    import hashlib

    train = shelf.run("train", 1, weights=b"one")
    trace = shelf.run("trace", 2, train, model=hashlib.sha256(b"one").hexdigest()[:16])
    shelf.anew(train)
    assert shelf.why(trace) == []
    (shelf.folder(train) / "checkpoints" / "best.ckpt").write_bytes(b"another")
    assert shelf.why(trace) == [f"train {train} has other weights now"]


def test_a_kept_model_whose_base_is_gone(shelf, tmp_path):
    import hashlib

    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "model.safetensors").write_bytes(b"own")
    digest = hashlib.sha256(b"own").hexdigest()
    base = {"name": "static", "sha256": "0" * 64}
    (kept / "model.json").write_text(json.dumps({"sha256": digest, "base": base}))
    (reason,) = shelf.why(shelf.run("trace", 1, str(kept), model="0" * 16))
    assert "static/model.safetensors: no such file" in reason


def test_a_trace_of_another_schema(shelf):
    import numpy as np
    from safetensors.numpy import save_file

    trace = shelf.run("trace", 1)
    file = shelf.folder(trace) / "trace.safetensors"
    save_file({"x": np.zeros(1)}, file, {"trace": json.dumps({"schema_version": 99})})
    assert shelf.why(trace) == ["schema_version is 99, this version reads 1; make the trace anew"]


def test_states(shelf):
    folder = shelf.folder(shelf.run("train", 1))
    manifest = Manifest.read(folder)
    manifest.state = "running"
    manifest.write(folder)
    assert KnownRun.read(folder).state == "interrupted"  # killed
    with hold_lock(folder):
        assert KnownRun.read(folder).state == "running"


def test_verb_lists_all_and_a_broken_one_takes_a_line(shelf, cli):
    train = shelf.run("train", 1)
    trace = shelf.run("trace", 2, train)
    broken = shelf.folder(shelf.run("tune", 3)) / "manifest.json"
    broken.write_text("{")
    answer = cli("runs", f"runs_root={shelf.root}")
    assert (answer.code, answer.run) == (0, shelf.root)
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert "finished" in rows[train]
    assert train in rows[trace]
    assert answer.out.count("Broken:") == 1
    assert f"{broken} cannot be read as a manifest" in rows["Broken:"]

    answer = cli("runs", f"run={train}", f"runs_root={shelf.root}")
    assert answer.run == shelf.folder(train)
    tree = answer.out[: answer.out.index("Broken:")]
    assert tree.index(train) < tree.index("came of it") < tree.index(trace)
    answer = cli("runs", "run=nothing", f"runs_root={shelf.root}")
    assert answer.code == 1
    assert answer.errors[0].startswith("run 'nothing' is no folder and no run under")
