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
from cascade_exit.runs import Run, UserError, find_run
from cascade_exit.runtime import Detector, detect_set
from cascade_exit.runtime.detector import model_id
from cascade_exit.tracking import log_figures, tracked
from cascade_exit.training import (
    CascadeModule,
    StartingWeights,
    TrainingSets,
    check_trainer,
    fit,
    starting_weights,
    weights_of_run,
)


def work(config: TrainConfig, call: Call) -> Path:
    """Trains, unless the run is finished already."""
    console = people()
    check_trainer(config)
    config = replace(config, logger=replace(config.logger, group=config.logger.group or call.choice("experiment")))
    weights, start = _start(config)
    # Built once for its own checks, so that a model that cannot be built is refused before any data is read; hence
    # with boxes that nobody has counted yet.
    classes = config.data.classes
    report = weights.load_into(CascadeModule(config, classes, (1,) * len(classes)).detector, classes)
    sets = load_roles(config.data, ("train", "val"), progress=True)
    fingerprints: dict[str, str] = {role: images.fingerprint for role, images in sets.items()}
    if weights.fingerprint:
        fingerprints["init"] = weights.fingerprint
    with open_call(config, call, fingerprints, [model_id(start)] if start else []) as run:
        if not run.finished:
            if run.resumed:
                console.print(f"Going on with {run.folder} (try {run.manifest.tries}).")
            elif report:
                console.print(f"Starting from {weights.source}: {report.summary()}.", highlight=False)
            store = open_images(sets.values(), config.data, progress=True)
            training = TrainingSets(sets["train"], sets["val"], store, config.data.workers)
            _train(config, training, weights, run, [start] if start else [])
            if not run.writes:  # a further process of a distributed run has done its part
                return run.folder
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {line}")
        console.print(exit_table(run.manifest.metrics["exits"], f"{run.folder.name}: val role"))
    return run.folder


def _start(config: TrainConfig) -> tuple[StartingWeights, Path | None]:
    """Starting weights, and the folder of the run or kept model that they come from."""
    reference = config.run or config.init
    if not config.run and (reference in ("scratch", "imagenet", "coco") or Path(reference).expanduser().is_file()):
        return starting_weights(reference, config.model), None
    try:
        folder = find_run(reference, Path(config.runs_root))
    except UserError as error:
        raise UserError(f"{'run' if config.run else 'init'}={reference}: no such file or run: {error}") from error
    return weights_of_run(reference, folder), folder


def _train(config: TrainConfig, sets: TrainingSets, weights: StartingWeights, run: Run, inputs: list[Path]) -> None:
    with tracked(config.logger, run, inputs) as logger:
        best = fit(config, sets, weights, run, logger)
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
