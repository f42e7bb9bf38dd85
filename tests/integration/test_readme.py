"""The commands of the README's tour run as they stand there, one after the other, in an empty folder."""

import re
import shlex

import pytest

from tests.conftest import REPOSITORY


def tour() -> list[list[str]]:
    text = (REPOSITORY / "README.md").read_text()
    part = re.search(r"<!-- tour:begin -->(.*)<!-- tour:end -->", text, re.DOTALL)[1]
    return [shlex.split(line)[1:] for line in part.splitlines() if line.startswith("    cascade-exit ")]


def test_the_tour_is_found():
    verbs = ["describe", "train", "evaluate", "export", "trace", "tune", "predict", "report", "runs"]
    assert [words[0] for words in tour()] == verbs


@pytest.mark.slow
def test_the_tour_runs(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in tour():
        answer = cli(*words)
        assert answer.code == 0, f"{' '.join(words)}\n{answer.err}"
        # `runs` makes none.
        assert answer.run.is_dir() or words == ["runs"]
    assert (tmp_path / "models" / "mine" / "model.safetensors").exists()
