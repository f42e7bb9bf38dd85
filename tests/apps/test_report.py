"""`report` as a user calls it."""

import json

import pytest

from tests.conftest import REPOSITORY
from tests.report.made_runs import EXITS, Page, train_run

APS = dict.fromkeys(EXITS, 0.25)
CHAIR = REPOSITORY / "models" / "chair"


def test_the_page_lies_in_a_run_of_its_own(cli, tmp_path):
    first, second = (train_run(tmp_path, f"{seed}" * 8, seed, APS) for seed in (1, 2))
    words = ["report", f"runs=[{first},'22222222',{CHAIR},{first}]", f"runs_root={tmp_path}"]
    answer = cli(*words)
    assert answer.code == 0, answer.err
    assert answer.out.strip() == str(answer.run)
    assert answer.run.parent == tmp_path / "report"
    page = answer.run / "report.html"
    assert f"Page: {page} (" in answer.err
    manifest = json.loads((answer.run / "manifest.json").read_text())
    assert manifest["parents"] == ["11111111", "22222222", "models/chair"]
    read = Page.of(page.read_text())
    assert "seeds" in read.sections
    kept = json.loads((CHAIR / "model.json").read_text())["figures"]
    assert read.numbers["exits.full.AP", "models/chair"] == kept["exits"]["full"]["AP"]
    assert read.numbers["policy.speedup_latency", "models/chair"] == kept["policy"]["speedup_latency"]
    assert page.stat().st_size < 10e6

    written = page.stat().st_mtime_ns
    assert cli(*words).run == answer.run
    assert page.stat().st_mtime_ns == written
    # The run goes on: what the page would show is another thing.
    with (second / "metrics.jsonl").open("a") as record:
        record.write(json.dumps({"epoch": 3, "step": 40, "val/full/AP": 0.5}) + "\n")
    assert cli(*words).run != answer.run


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ([], 2, "runs must name at least one run, such as 'runs=[RUN,models/NAME]'"),
        (["runs=[]"], 2, "runs must name at least one run"),
        (["runs=[nobody]"], 1, "run 'nobody' is no folder and no run under"),
        (["runs=[models/chair]", "pictures=-1"], 2, "pictures must not be negative, got -1"),
        (["run=[models/chair]"], 2, "run: unknown key (did you mean 'runs'?)"),
    ],
)
def test_wrong_calls_get_one_line(cli, tmp_path, words, code, line):
    answer = cli("report", *words, f"runs_root={tmp_path / 'runs'}")
    assert (answer.code, len(answer.errors)) == (code, 1)
    assert answer.errors[0].startswith(line)
    assert not (tmp_path / "runs").exists()
