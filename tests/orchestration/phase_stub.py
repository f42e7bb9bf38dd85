"""Stands for the apps of a pipeline's phases: ordinary runs made from other runs. Torch is not imported."""

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cascade_exit.runs import Manifest, build, find_run, not_identity, open_run, provenance
from cascade_exit.runs import run as run_module

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Learn:
    """Attributes: number decides the result, with those of the runs that are taken; desk is for notes under a name."""

    number: int = 0
    run: str | None = not_identity(None)
    others: tuple[str, ...] = not_identity(())
    place: str = not_identity("here")
    name: str = not_identity("")
    failures: int = not_identity(0)
    wait: bool = not_identity(False)
    desk: str = not_identity(".")
    runs_root: str = not_identity("runs")
    run_dir: str | None = not_identity(None)
    force: bool = not_identity(False)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"number must not be negative, got {self.number}")


@dataclass(frozen=True)
class Weigh(Learn):
    """Has a key that the other verb lacks."""

    only_here: int = 0


VERBS = {"learn": Learn, "weigh": Weigh}


def command_of(verb: str, overrides: tuple[str, ...]) -> list[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from tests.orchestration.phase_stub import main; main()"
    )
    return [sys.executable, "-c", code, verb, *overrides]


def main() -> None:
    provenance._gpu_names = lambda: ()  # would import torch
    run_module.git_state = lambda: None  # seconds on a busy machine
    verb, *words = sys.argv[1:]
    values = {key: _value(text) for key, text in (word.split("=", 1) for word in words)}
    config = build(VERBS[verb], values)
    desk, root = Path(config.desk), Path(config.runs_root)
    with (desk / f"started-{config.name}").open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    taken = [find_run(reference, root) for reference in (config.run, *config.others) if reference]
    parents = [Manifest.read(folder).id for folder in taken]
    results = "".join((folder / "result").read_text() for folder in taken)
    data = {"taken": hashlib.sha256(results.encode()).hexdigest()}
    with open_run(
        verb, config, command=f"{verb} {' '.join(words)}", data=data, parents=parents, root=root, force=config.force
    ) as run:
        if not run.finished:
            _work(config, desk)
            (run.folder / "result").write_text(f"({config.number} {results})")
            run.manifest.metrics["exits"] = {"full": {"AP": config.number / 1000}}
    print(run.folder)


def _work(config: Learn, desk: Path) -> None:
    (desk / f"working-{config.name}").touch()
    while config.wait and not (desk / "go").exists():
        time.sleep(0.02)
    if len((desk / f"started-{config.name}").read_text().splitlines()) <= config.failures:
        raise RuntimeError("no luck")


def _value(text: str) -> object:
    if text.startswith("["):
        return [part.strip("'") for part in text[1:-1].split(",")]
    return text.strip("'")
