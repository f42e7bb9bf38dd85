"""`train`: one run from validated settings to a checkpoint and the figures of every exit on val."""

from dataclasses import replace
from pathlib import Path

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.apps.results import Provenance, exit_figures, exit_table, set_facts, write_metrics
from cascade_exit.config import Call, TrainConfig
from cascade_exit.data import load_roles, open_images
from cascade_exit.model.checkpoint import read_checkpoint
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Run
from cascade_exit.runtime import Detector, detect_set
from cascade_exit.runtime.detector import model_id
from cascade_exit.tracking import log_figures, tracked
from cascade_exit.training import (
    CascadeModule,
    Start,
    TrainingSets,
    check_trainer,
    check_untrained,
    find_start,
    fit,
)


def work(config: TrainConfig, call: Call) -> Path:
    """Trains, unless the run is finished already."""
    console = people()
    check_trainer(config)
    config = replace(config, logger=replace(config.logger, group=config.logger.group or call.choice("experiment")))
    start = find_start(*_sources(config), config.model, Path(config.runs_root))
    # Built once for its own checks, so that a model that cannot be built is refused before any data is read; hence
    # with boxes that nobody has counted yet.
    classes = config.data.classes
    report = start.load_into(CascadeModule(config, classes, (1,) * len(classes)).detector, classes)
    if not config.trainer.max_epochs:
        check_untrained(start, report, config.model)
    sets = load_roles(config.data, ("train", "val"), progress=True)
    fingerprints = {role: images.fingerprint for role, images in sets.items()} | start.fingerprints
    inputs = list(dict.fromkeys(start.folders.values()))
    with open_call(config, call, fingerprints, [model_id(folder) for folder in inputs]) as run:
        if not run.finished:
            if run.resumed:
                console.print(f"Going on with {run.folder} (try {run.manifest.tries}).")
            elif report:
                console.print(f"Starting from {report.sources}: {report.summary()}.", highlight=False)
            store = open_images(sets.values(), config.data, progress=True)
            training = TrainingSets(sets["train"], sets["val"], store, config.data.workers)
            _train(config, training, start, run, inputs)
            if not run.writes:  # a further process of a distributed run has done its part
                return run.folder
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {line}")
        console.print(exit_table(run.manifest.metrics["exits"], f"{run.folder.name}: val role"))
    return run.folder


def _sources(config: TrainConfig) -> tuple[str, str | dict[str, str]]:
    """The key that says where to start, and what it says."""
    return ("run", config.run) if config.run else ("init", config.init)


def _train(config: TrainConfig, sets: TrainingSets, start: Start, run: Run, inputs: list[Path]) -> None:
    with tracked(config.logger, run, inputs) as logger:
        best = fit(config, sets, start, run, logger)
        if not run.writes:
            return
        detector = Detector(read_checkpoint(best))
        metric = detect_set(detector, sets.val, sets.store, config.trainer.batch_size, sets.workers, progress=True)
        metrics = set_facts(sets.val) | {"exits": exit_figures(metric.compute(), detector.costs)}
        run.manifest.metrics.update(metrics)
        write_metrics(run, metrics, Provenance(backend="torch"))
        log_figures(logger, metrics)


def main() -> None:
    """The command line."""
    run_verb("train", TrainConfig, work)


if __name__ == "__main__":
    main()
