"""What a kept model says of where it came from."""

from pathlib import Path

import pytest

from cascade_exit.apps.export import _portable
from cascade_exit.apps.origins import Origin, starting_origin
from cascade_exit.runs import atomic_write_json
from tests.report.made_runs import make_run


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("train init=/home/me/runs/a-b_2.pt seed=1", "train init=a-b_2.pt seed=1"),
        (
            "train init={exit1: /home/me/r1, full: models/s} data.root=/p/q",
            "train init={exit1: r1, full: models/s} data.root=q",
        ),
        ("tune 'static=[/a/b,/c/d]'", "tune 'static=[b,d]'"),
        ("train data.subset.download.annotations_url=http://example.org/a/b.zip", None),
        ("train init=models/a data.root=../photos runs_root=~/runs", None),
    ],
)
def test_a_command_keeps_no_folders_of_its_machine(command: str, kept: str | None) -> None:
    assert _portable(command) == (kept or command)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs that lead to kept models over each other, to a file, and to a run that is gone."""
    for name, said in {"coco": ("COCO, by A", "MIT"), "mine": ("my photos", "CC0"), "silent": (None, None)}.items():
        started = dict(zip(("origin", "licence"), said, strict=True))
        atomic_write_json(tmp_path / "models" / name / "model.json", {"starting_weights": started})
    coco, mine, silent = (str(tmp_path / "models" / name) for name in ("coco", "mine", "silent"))
    inits = {
        "11111111": coco,
        "22222222": "11111111",
        "33333333": {"exit1": "22222222", "full": coco},
        "44444444": {"exit1": "22222222", "full": mine},
        "55555555": {"exit1": "22222222", "full": silent},
        "66666666": {"exit1": "22222222", "full": "weights.pt"},
        "77777777": {"exit1": "22222222", "full": "99999999"},
        "88888888": {"exit1": "22222222", "full": "scratch"},
    }
    for run, init in inits.items():
        make_run(tmp_path, "train", run, config={"init": init})
    return tmp_path


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("22222222", ("COCO, by A", "MIT")),
        ("33333333", ("COCO, by A", "MIT")),
        ("44444444", ("COCO, by A; my photos", "MIT; CC0")),
        ("55555555", (None, None)),
        ("66666666", (None, None)),
        ("77777777", (None, None)),
        ("88888888", ("COCO, by A", "MIT")),
    ],
)
def test_what_is_known_of_starting_weights_follows_from_kept_models(root: Path, run: str, expected: tuple) -> None:
    assert starting_origin(run, root) == Origin(*expected)


def test_nothing_is_known_of_none() -> None:
    assert starting_origin("scratch", Path("runs")) == Origin(None, None)
