"""Sets made from COCO, from the command line: what a user reads when it works, fails, or is stopped."""

import json
import os
import signal
import time

import pytest

from cascade_exit.config import TrainConfig
from cascade_exit.config.app import compose
from cascade_exit.data import ROLES
from cascade_exit.runs import build
from tests.data.web import ARCHIVE, Act, publish, serve


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as web:
        publish(web)
        yield web


@pytest.fixture
def words(web, tmp_path):
    return [
        "describe",
        "data=coco_multiclass",
        "data.build=true",
        "model=static",
        f"runs_root={tmp_path}/runs",
        f"data.root={tmp_path}/set",
        "data.classes=[chair,dog]",
        "data.subset.images_per_class=40",
        "data.subset.shares={train: 0.45, val: 0.15, calibrate: 0.2, test: 0.2}",
        f"data.subset.downloads={tmp_path}/coco",
        f"data.subset.download.annotations_url={web.url}{ARCHIVE}",
        "data.subset.download.parallel=4",
        "data.subset.download.attempts=1",
    ]


def test_what_could_not_be_fetched_is_said_once(cli, words, web):
    names = sorted(name for name in web.files if name.endswith(".jpg"))
    web.always |= {name: Act(status=404) for name in names[:30]}
    answer = cli(*words)
    assert answer.code == 1
    errors = answer.err[answer.err.index("Error: ") :].splitlines()
    assert "images could not be fetched into" in errors[0]
    assert all(line.endswith("404 Not Found") for line in errors[1:6])
    assert errors[6].startswith("… and ")
    assert len(errors) == 7


def test_ctrl_c_ends_at_once_and_the_same_command_goes_on_to_the_end(cli, words, web, tmp_path):
    def interrupt(count):
        if count == 20:
            os.kill(os.getpid(), signal.SIGINT)
        elif count > 20:
            time.sleep(0.3)  # otherwise the rest may come before the main thread gets its turn to hear of it

    web.notice = interrupt
    # What a shell starts in the background, these tests as well, inherits that Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = cli(*words)
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == f"{tmp_path}/set: stopped; the same command goes on from here"
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists()
    assert "Fewer than asked for: chair: 20 of 24 images in train2017" in answer.err
    there = {path.name for path in (tmp_path / "coco").rglob("[!.]*.jpg")}
    web.requests.clear()
    web.notice = lambda _: None
    answer = cli(*words)
    asked = {path.split("/")[-1] for path, _ in web.requests}
    assert not asked & there
    assert there
    assert asked
    assert answer.code == 0
    assert "Fewer than asked for: chair" not in answer.err  # said when it was chosen, before
    roles = json.loads((answer.run / "description.json").read_text())["roles"]
    record = json.loads((tmp_path / "set" / "build.json").read_text())
    for role in ROLES:
        chosen = record["chosen"]["roles"][role]
        found = {name: content["boxes"] + content["crowds"] for name, content in roles[role]["classes"].items()}
        assert (roles[role]["images"], found) == (chosen["images"], chosen["boxes"])


def test_mistakes_are_named_in_the_user_s_keys(cli, words):
    wrong = ["+data.subset.image_per_class=9", "data.subset.download.parallel=0", "data.subset.shares.test=0.5"]
    answer = cli(*words, *wrong)
    assert answer.code == 2
    assert sorted(line.split(", got")[0] for line in answer.errors) == [
        "data.subset.download: parallel must be from 1 to 64",
        "data.subset.image_per_class: unknown key (did you mean 'images_per_class'?)",
        "data.subset.shares: shares must be four shares from 0 that add up to 1",
    ]


@pytest.mark.parametrize(("name", "classes"), [("coco_multiclass", 15), ("coco_chair", 1)])
def test_both_sets_can_be_trained_on(name, classes):
    config = build(TrainConfig, compose("train", [f"data={name}"]))
    assert config.data.subset.classes == config.data.classes
    assert len(config.data.classes) == classes
