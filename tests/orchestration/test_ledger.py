import pytest

from cascade_exit.orchestration import Ledger, LedgerRow
from cascade_exit.runs import UserError


def test_last_row_holds_and_a_torn_one_is_passed_over(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(LedgerRow("aa", ("seed=1",), "running", 1))
    ledger.write(LedgerRow("aa", ("seed=1",), "finished", 1, 2.5, "runs/train/x", metrics={"full/AP": 0.5}))
    path = tmp_path / "sweep.jsonl"
    with path.open("a") as file:
        file.write('{"id": "bb", "overri')
    again = Ledger(tmp_path)
    assert again.rows.keys() == {"aa"}
    assert again.rows["aa"] == ledger.rows["aa"]
    again.write(LedgerRow("cc", ("seed=3",), "failed", 1, error="OSError: no"))
    assert [row.state for row in Ledger(tmp_path).rows.values()] == ["finished", "failed"]
    assert len(path.read_text().splitlines()) == 3


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "sweep.jsonl").write_text('{"id": "aa", "overrides": [], "state": "lost"}\n')
    with pytest.raises(UserError, match=r"sweep.jsonl, line 1.state"):
        Ledger(tmp_path)
