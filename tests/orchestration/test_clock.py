"""A clock that jumps to and fro under a sweep: what is finished stays so, and no duration is negative."""

import os
import re
import signal

from cascade_exit.orchestration import sweep as sweep_module


def test_a_sweep_interrupted_and_given_again(bench, jumping_clock, monkeypatch):
    monkeypatch.setattr(sweep_module, "READ_SECONDS", 0.05)
    monkeypatch.setattr("cascade_exit.orchestration.view._PLAIN_LINE_SECONDS", 0.0)
    jobs = [bench.job(1, "pace=0.2"), bench.job(2, "wait=true")]
    bench.when("working-1", "working-2", then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, rows = bench.sweep(jobs, parallel=2)
    said = bench.said
    assert code == 128 + signal.SIGTERM
    assert rows[2].state == "interrupted"
    (bench.root / "go").touch()
    code, rows = bench.sweep(jobs, parallel=2)
    assert (code, rows[1].state, rows[2].state) == (0, "finished", "finished")
    assert all(0 <= row.seconds < 600 for row in rows.values())
    starts = [len(bench.starts(number)) for number in (1, 2)]
    assert bench.sweep(jobs)[0] == 0
    assert [len(bench.starts(number)) for number in (1, 2)] == starts
    told = re.findall(r"epoch .*", said + bench.said)
    assert not [line for line in told if "-" in line]
    assert all(int(minutes) < 10 for minutes in re.findall(r"(\d+):\d\d left", " ".join(told)))
