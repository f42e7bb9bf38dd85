"""Stands for an app: an ordinary run that fails, waits or will not end, as it is told. Torch is not imported."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_exit.runs import Manifest, Record, build, identity_of, not_identity, open_run, plain, provenance


@dataclass(frozen=True)
class StubConfig:
    """Attributes: number tells jobs apart; desk is where they leave notes."""

    number: int = 0
    epochs: int = 3
    failures: int = 0  # tries that fail before one succeeds
    score: float = 0.5  # AP of the full exit
    wait: bool = not_identity(False)  # for the file `go` on the desk
    pace: float = not_identity(0.0)  # seconds of an epoch
    breaks_on: int = not_identity(-1)  # the node that fails
    stubborn: bool = not_identity(False)  # ignores SIGTERM, and has a child of its own
    desk: str = not_identity(".")
    runs_root: str = not_identity("runs")
    run_dir: str | None = not_identity(None)
    force: bool = not_identity(False)

    def __post_init__(self) -> None:
        if self.score > 1:
            raise ValueError(f"score must be at most 1, got {self.score}")


def stub_config(overrides: tuple[str, ...]) -> StubConfig:
    return build(StubConfig, dict(word.split("=", 1) for word in overrides))


def stub_settings(overrides: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    config = stub_config(overrides)
    return plain(config), plain(identity_of(config))


def main() -> None:
    provenance._gpu_names = lambda: ()  # would import torch
    overrides = tuple(sys.argv[1:])
    config = stub_config(overrides)
    desk = Path(config.desk)
    with (desk / f"started-{config.number}").open("a") as notes:
        notes.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    node = int(os.environ.get("NODE_RANK", "0"))
    tries = len((desk / f"started-{config.number}").read_text().splitlines())
    command = " ".join(overrides)
    with open_run("train", config, command=command, overrides=overrides, root=Path(config.runs_root)) as run:
        if not run.writes and not run.finished:
            _help(config, desk, node, run.manifest)
        elif not run.finished:
            _work(config, desk, tries, Record(run.folder / "metrics.jsonl"))
            run.manifest.metrics["exits"] = {
                "exit1": {"AP": config.score / 2, "macs": int(1e6 * config.number)},
                "full": {"AP": config.score},
            }
    print(run.folder)


def _help(config: StubConfig, desk: Path, node: int, manifest: Manifest) -> None:
    """The part of a further process of a distributed run."""
    meeting = f"{os.environ['MASTER_ADDR']} {os.environ['MASTER_PORT']}"
    (desk / f"helped-{config.number}").write_text(f"{node} {manifest.state} {manifest.tries} {meeting}")
    if config.breaks_on == node:
        raise RuntimeError("a broken machine")


def _work(config: StubConfig, desk: Path, tries: int, record: Record) -> None:
    if config.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "60"])
        (desk / "grandchild").write_text(str(child.pid))
    for epoch in range(config.epochs):
        record.write({"epoch": epoch, "val/full/AP": config.score * (epoch + 1) / config.epochs})
        time.sleep(config.pace)
    (desk / f"working-{config.number}").touch()
    while config.wait and not (desk / "go").exists():
        time.sleep(0.02)
    if tries <= config.failures:
        raise RuntimeError(f"no luck in try {tries}")


if __name__ == "__main__":
    main()
