"""What a kept model says of where it came from."""

import pytest

from cascade_exit.apps.export import _portable


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
