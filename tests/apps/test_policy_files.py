"""Where `policy=` looks."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cascade_exit.apps.opening import TrainedModel
from cascade_exit.apps.policy_files import FoundPolicy
from cascade_exit.policies import write_policy
from cascade_exit.runs import Manifest, UserError, not_identity, open_run
from tests.apps.blotches import NEVER
from tests.runtime.cascades import MODEL, detector, policy


@dataclass(frozen=True)
class Number:
    """Makes runs differ."""

    number: int = 0
    place: str = not_identity("")


@pytest.fixture
def model(tmp_path) -> TrainedModel:
    return TrainedModel(tmp_path / "train" / "some-00c0ffee", "00c0ffee", MODEL, detector("plain"))


def tune(root: Path, number: int, finished: str, parent: str = "00c0ffee", state: str = "finished") -> Path:
    with open_run("tune", Number(number), command="", parents=[parent], root=root) as run:
        write_policy(run.folder / "policy.json", policy(NEVER, name=f"number {number}"))
    manifest = Manifest.read(run.folder)
    manifest.times.finished, manifest.state = finished, state
    manifest.write(run.folder)
    return run.folder


def test_shipped_of_a_run_is_that_of_its_newest_finished_tune_run(model, tmp_path):
    tune(tmp_path, 1, "2026-01-01T00:00:00Z")
    newest = tune(tmp_path, 2, "2026-03-01T00:00:00Z")
    tune(tmp_path, 3, "2026-02-01T00:00:00Z")
    tune(tmp_path, 4, "2026-04-01T00:00:00Z", parent="deadbeef")
    tune(tmp_path, 5, "2026-05-01T00:00:00Z", state="failed")
    found = FoundPolicy.open("shipped", model, tmp_path)
    assert found.policy.name == "number 2"
    assert found.path == newest / "policy.json"
    assert found.run == newest.name[-8:]


def test_a_run_without_a_tune_run_has_none(model, tmp_path):
    tune(tmp_path, 1, "2026-01-01T00:00:00Z", parent="deadbeef")
    with pytest.raises(UserError, match=r"no finished tune run .* is of run 00c0ffee") as told:
        FoundPolicy.open("shipped", model, tmp_path)
    assert "\n" not in str(told.value)


def test_a_tune_run_by_folder_and_by_id(model, tmp_path):
    folder = tune(tmp_path, 1, "2026-01-01T00:00:00Z")
    by_file = FoundPolicy.open(str(folder / "policy.json"), model, tmp_path)
    for reference in (str(folder), folder.name[-8:]):
        assert FoundPolicy.open(reference, model, tmp_path) == by_file
    assert by_file.run == folder.name[-8:]


def test_a_file_is_of_no_run_and_its_content_tells_it_apart(model, tmp_path):
    write_policy(tmp_path / "a.json", policy(NEVER))
    write_policy(tmp_path / "b.json", policy(NEVER))
    write_policy(tmp_path / "c.json", policy({}))
    a, b, c = (FoundPolicy.open(str(tmp_path / f"{name}.json"), model, tmp_path) for name in "abc")
    assert a.run is None
    assert a.fingerprint == b.fingerprint != c.fingerprint


def test_a_run_without_a_policy_is_refused(model, tmp_path):
    with open_run("trace", Number(), command="", root=tmp_path) as run:
        pass
    with pytest.raises(UserError, match=r"has no policy.json; a finished tune run has one"):
        FoundPolicy.open(run.id, model, tmp_path)
    with pytest.raises(UserError, match="neither none, shipped nor a file"):
        FoundPolicy.open("shiped", model, tmp_path)
