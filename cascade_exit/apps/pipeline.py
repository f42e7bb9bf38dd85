"""`pipeline`: phases one after the other, each from the runs before it, and only what is missing."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from rich.console import Console

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, PipelineConfig, refuse
from cascade_exit.orchestration import (
    Entry,
    KnownRun,
    Phases,
    Step,
    earlier_runs,
    end_table,
    plan,
    plan_table,
    run_phases,
    run_verb,
)
from cascade_exit.runs import SchemaError, identity_hash, identity_of, run_label
from cascade_exit.runs.folder import locate_run
from cascade_exit.runtime.kept_model import is_kept

VERB = "pipeline"


def work(config: PipelineConfig, call: Call) -> Path:
    """Runs what is missing, or says what would run."""
    console, root = people(), Path(config.runs_root)
    if config.pipeline is None:
        refuse(["pipeline: must be given, such as pipeline=chair_all"])
    try:
        phases = Phases(
            config.pipeline, config.words, config.runs_root, config.force, earlier_runs(config.pipeline.name, root)
        )
    except SchemaError as error:
        refuse(error.lines)
    entry = Entry.of(phases, config.start_from, root)
    folder = _folder(config, call, entry)
    steps = plan(phases, entry, folder)
    if config.dry_run:
        console.print(plan_table(config.pipeline.name, steps))
        return folder
    due = any(step.state == "due" for step in steps)
    with open_call(config, call, {}, entry.parents, again=due) as run:
        if not run.finished:
            steps = run_phases(phases, entry, run, console)
    _show(config.pipeline.name, steps, console)
    return run.folder


def _folder(config: PipelineConfig, call: Call, entry: Entry) -> Path:
    """Where the pipeline's run lies or would lie."""
    if config.run_dir:
        return Path(config.run_dir)
    identity = identity_of(config)
    run_id = identity_hash(VERB, identity, {}, entry.parents)
    return locate_run(Path(config.runs_root), VERB, run_id, run_label(call.overrides, identity))


def _show(name: str, steps: Sequence[Step], console: Console) -> None:
    runs = [None if step.run is None or is_kept(step.run) else KnownRun.read(step.run) for step in steps]
    console.print(end_table(name, steps, runs))


def _is_own(word: str) -> bool:
    """Whether a word of the command line is for the pipeline itself rather than for its phases."""
    head = word.lstrip("+~").split("=", 1)[0].split(".")[0].split("/")[0]
    return word.startswith("-") or head == "hydra" or head in {field.name for field in fields(PipelineConfig)}


def main() -> None:
    """The command line."""
    words = sys.argv[1:]
    if any(word in ("-m", "--multirun") for word in words):
        refuse(["pipeline: takes no -m; sweep its phases (train -m …), or give one command for each"])
    passed = tuple(word for word in words if not _is_own(word))
    sys.argv[1:] = [word for word in words if _is_own(word)]

    def work_with_words(config: PipelineConfig, call: Call) -> Path:
        command = " ".join(["cascade-exit", VERB, *words])
        try:
            return work(replace(config, words=passed), replace(call, command=command))
        except KeyboardInterrupt:  # between two phases; the record says so
            sys.exit(128 + signal.SIGINT)

    run_verb(VERB, PipelineConfig, work_with_words)


if __name__ == "__main__":
    main()
