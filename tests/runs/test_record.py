"""A run's own record of its measurements."""

import errno
import json
import os
from pathlib import Path

import pytest

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.record import Record


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    rows: list[dict[str, object]] = [{"step": 1, "loss/total": 0.5}, {"step": 2, "exit": "full", "none": None}]
    for row in rows:
        Record(path).write(row)
    assert Record(path).read() == rows
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows


def test_a_record_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert Record(tmp_path / "metrics.jsonl").read() == []


def test_each_row_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    for step in range(3):
        record.write({"step": step})
        assert len(record.path.read_bytes().splitlines()) == step + 1


def test_a_measurement_that_is_not_finite_is_absent(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.write({"step": 1, "loss": float("nan")})
    assert record.read() == [{"step": 1}]


@pytest.mark.parametrize("torn", ['{"step": 2, "lo', '{"step": 2}', "{"])
def test_a_torn_last_line_is_passed_over_and_cut_by_the_next_write(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + torn)
    record = Record(path)
    assert record.read() == [{"step": 1}]
    assert path.read_text().endswith(torn), "reading must not change a file that another process may write"
    record.write({"step": 3})
    assert record.read() == [{"step": 1}, {"step": 3}]


def test_a_row_that_a_full_disk_cut_off_does_not_spoil_the_next(tmp_path: Path, monkeypatch) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.write({"step": 1})

    def full(_descriptor: int) -> None:
        record.path.write_bytes(record.path.read_bytes()[:-5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            record.write({"step": 2})
    assert record.read() == [{"step": 1}]
    record.write({"step": 3})
    assert record.read() == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("broken", ["{\n", "3\n", "\n"])
def test_a_broken_line_before_the_end_is_named(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + broken + '{"step": 2}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        Record(path).read()


def test_rows_beyond_the_checkpoint_are_cut(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    rows: list[dict[str, object]] = [{"step": 0}, {"note": "no step"}, {"step": 10}, {"step": 11}, {"step": 5}]
    for row in rows:
        record.write(row)
    record.truncate_after("step", 10)
    assert record.read() == [{"step": 0}, {"note": "no step"}, {"step": 10}, {"step": 5}]
    record.write({"step": 11})
    assert record.read()[-1] == {"step": 11}


def test_cutting_a_record_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    Record(tmp_path / "metrics.jsonl").truncate_after("step", 1)
    assert list(tmp_path.iterdir()) == []
