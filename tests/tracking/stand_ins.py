"""A run as open_run gives it, without the work of opening one."""

from pathlib import Path
from typing import Any

from cascade_exit.runs import Machine, Manifest, Run, Times


def a_run(
    folder: Path, run_id: str = "0123abcd", verb: str = "train", config: dict[str, Any] | None = None, tries: int = 1
) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        verb=verb,
        id=run_id,
        state="running",
        command=f"cascade-exit {verb} seed=3",
        config=config or {},
        identity={},
        data={"val": "f00d"},
        parents=["ffff0000"],
        git=None,
        versions={},
        machine=Machine(host="h", cpu="c", cores=2, memory_gib=4.0, gpus=()),
        times=Times(started="2026-01-01T00:00:00Z"),
        tries=tries,
    )
    manifest.write(folder)
    return Run(folder, manifest, writes=True)
