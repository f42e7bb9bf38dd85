"""Names of runs, and finding them again."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.folder import find_run, list_runs, locate_run, run_label

IDENTITY = {"seed": 2, "model": {"width": 0.75, "exits": {"exit1": 8}}, "classes": ["chair"]}


def make_run(root: Path, verb: str, name: str) -> Path:
    folder = root / verb / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        (["experiment=phase1_chair", "seed=2"], "phase1_chair-seed_2"),
        ([], "default"),
        (["data.root=/home/someone/photos", "force=true", "logger=csv"], "default"),
        (["+model.exits.exit1=8", "model.width=0.75"], "exit1_8-width_0.75"),
        (["classes=[chair,sofa]"], "classes_chair_sofa"),
        (["run=3fa9", "seed=2"], "run_3fa9-seed_2"),
        (["model=static", "model.nothing=1", "model@train.model=x"], "model_static-model_x"),
        (["experiment=../../etc/passwd"], "etc_passwd"),
    ],
)
def test_labels(overrides: list[str], label: str) -> None:
    assert run_label(overrides, IDENTITY) == label


@given(st.lists(st.text() | st.text().map(lambda text: f"seed={text}") | st.text().map("experiment={}".format)))
def test_every_label_is_a_plain_name(overrides: list[str]) -> None:
    label = run_label(overrides, IDENTITY)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", label)


def test_a_run_is_located_by_its_id_whatever_the_label(tmp_path: Path) -> None:
    there = make_run(tmp_path, "train", "phase1_chair-seed_0-0123abcd")
    make_run(tmp_path, "trace", "x-0123abcd")
    assert locate_run(tmp_path, "train", "0123abcd", "phase1_chair") == there
    assert locate_run(tmp_path, "train", "ffff0000", "new") == tmp_path / "train" / "new-ffff0000"


def test_two_folders_with_one_id_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, "train", "a-0123abcd")
    make_run(tmp_path, "train", "a-copy-0123abcd")
    with pytest.raises(UserError, match=r"(?s)a-0123abcd.*a-copy-0123abcd"):
        locate_run(tmp_path, "train", "0123abcd", "a")


def test_find_run_by_id_name_and_path(tmp_path: Path) -> None:
    chair = make_run(tmp_path, "train", "phase1_chair-0123abcd")
    static = make_run(tmp_path, "train", "static_chair-01fe0000")
    assert list_runs(tmp_path) == [chair, static]
    for reference in ("0123abcd", "012", "phase1", "phase1_chair-0123abcd", str(chair), f"{chair}/"):
        assert find_run(reference, tmp_path) == chair
    assert find_run("01fe", tmp_path) == static


def test_a_whole_name_wins_over_longer_ones(tmp_path: Path) -> None:
    short = make_run(tmp_path, "train", "a-0123abcd")
    make_run(tmp_path, "train", "a-0123abcd-b-ffff0000")
    assert find_run("a-0123abcd", tmp_path) == short


def test_an_ambiguous_prefix_lists_its_candidates(tmp_path: Path) -> None:
    make_run(tmp_path, "train", "phase1_chair-0123abcd")
    make_run(tmp_path, "trace", "calibrate-01fe0000")
    make_run(tmp_path, "train", "other-aaaa0000")
    with pytest.raises(UserError, match="ambiguous") as caught:
        find_run("01", tmp_path)
    assert "phase1_chair-0123abcd" in str(caught.value)
    assert "calibrate-01fe0000" in str(caught.value)
    assert "other" not in str(caught.value)


def test_a_missing_run_suggests_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # kept models are looked for in the folder we stand in
    make_run(tmp_path, "train", "phase1_chair-0123abcd")
    with pytest.raises(UserError, match="did you mean 0123abcd"):
        find_run("0123abce", tmp_path)
    with pytest.raises(UserError, match="there are: phase1_chair-0123abcd"):
        find_run("zzz", tmp_path)
    with pytest.raises(UserError, match="no runs yet"):
        find_run("zzz", tmp_path / "nowhere")
    with pytest.raises(UserError, match="run ''"):
        find_run("", tmp_path)


def test_kept_models_are_found_and_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models/chair").mkdir(parents=True)
    Path("models/chair/model.json").write_text("{}")
    assert find_run("models/chair", tmp_path / "runs") == Path("models/chair")
    with pytest.raises(UserError, match="did you mean models/chair"):
        find_run("models/chiar", tmp_path / "runs")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run"):
        find_run(str(tmp_path), tmp_path)
