"""`evaluate`: every exit of a trained detector on every image of one role."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.results import Provenance, difficulty_table, exit_figures, exit_table, set_facts, write_metrics
from cascade_exit.config import Call, EvaluateConfig
from cascade_exit.data import CocoSet, ImageStore, load_role, open_images
from cascade_exit.evaluation import ExitAP, ImageTruth, Measure, bootstrap_interval, coco_metrics, match_detections
from cascade_exit.model import FULL
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Run, UserError
from cascade_exit.runtime import detect_set
from cascade_exit.visualization import save_exit_grid, spread_ids

BOOTSTRAPPED: tuple[Measure, ...] = ("AP", "AP50")


def work(config: EvaluateConfig, call: Call) -> Path:
    """Measures, unless the same was measured before."""
    console = people()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    root = Path(config.runs_root)
    model = TrainedModel.open(config.run, root, config.device)
    baseline = TrainedModel.open(config.baseline, root, config.device) if config.baseline else None
    if baseline and baseline.detector.class_map != model.detector.class_map:
        raise UserError(f"baseline={config.baseline}: its classes are not those of run={config.run}")
    data = model.data(config.data)
    images = load_role(data, config.role, progress=True)
    fingerprints: dict[str, str] = {config.role: images.fingerprint, "model": model.fingerprint}
    if baseline:
        fingerprints["baseline"] = baseline.fingerprint
    with open_call(config, call, fingerprints, [one.id for one in (model, baseline) if one]) as run:
        if not run.finished:
            store = open_images([images], data, progress=True)
            _measure(config, run, model, baseline, images, store, data.workers)
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {line}")
        _show(run, model, config.role, console)
    return run.folder


def _measure(
    config: EvaluateConfig,
    run: Run,
    model: TrainedModel,
    baseline: TrainedModel | None,
    images: CocoSet,
    store: ImageStore,
    workers: int,
) -> None:
    metric = detect_set(model.detector, images, store, config.batch_size, workers, progress=True)
    metrics: dict[str, Any] = set_facts(images) | {"exits": exit_figures(metric, model.detector.network)}
    if baseline:
        of_baseline = detect_set(baseline.detector, images, store, config.batch_size, workers, progress=True)
        figures = exit_figures(of_baseline, baseline.detector.network)[FULL]
        metrics["baseline"] = {"run": baseline.id} | {key: figures[key] for key in ("AP", "AP50", "macs")}
    if config.bootstrap:
        metrics["intervals"] = _intervals(metric, images, config.bootstrap)
    if any(record.difficulty for record in images.records):
        metrics["difficulty"] = _by_difficulty(metric, images)
    run.manifest.metrics.update(metrics)
    write_metrics(run, metrics, Provenance(backend=config.backend))
    if config.pictures:
        (run.folder / "figures").mkdir(exist_ok=True)
        shown = spread_ids(images, config.pictures)
        save_exit_grid(images, store, metric.detections_by_exit(), shown, run.folder / "figures" / "exits.png")


def _intervals(metric: ExitAP, images: CocoSet, resamples: int) -> dict[str, tuple[float, float]]:
    """95 % intervals under resampling of the images, by the figure's path in metrics.json."""
    truth = [ImageTruth.from_record(record) for record in images.records]
    intervals = {}
    for name, found in metric.detections_by_exit().items():
        matches = match_detections(truth, found, images.class_map.names)
        for measure in BOOTSTRAPPED:
            interval = bootstrap_interval(matches, measure, resamples)
            if interval is not None:
                intervals[f"exits.{name}.{measure}"] = interval
    return intervals


def _by_difficulty(metric: ExitAP, images: CocoSet) -> dict[str, dict[str, Any]]:
    """Images, AP and AP50 of every exit on the images of each difficulty; empty ones have no AP."""
    by_exit = metric.detections_by_exit()
    figures: dict[str, dict[str, Any]] = {}
    for difficulty in sorted({record.difficulty for record in images.records if record.difficulty}):
        truth = [ImageTruth.from_record(record) for record in images.records if record.difficulty == difficulty]
        ids = {image.image_id for image in truth}
        figures[difficulty] = {"images": len(truth)}
        for name, found in by_exit.items():
            chosen = {image_id: detections for image_id, detections in found.items() if image_id in ids}
            measures = coco_metrics(truth, chosen, images.class_map.names)
            figures[difficulty][name] = {key: measures[key] for key in ("AP", "AP50") if key in measures}
    return figures


def _show(run: Run, model: TrainedModel, role: str, console: Console) -> None:
    metrics = run.manifest.metrics
    console.print(
        exit_table(metrics["exits"], f"{model.id} on {metrics['images']} {role} images", metrics.get("intervals"))
    )
    if "baseline" in metrics:
        console.print(f"Baseline {metrics['baseline']['run']}: AP {metrics['baseline']['AP']:.3f}")
    if "difficulty" in metrics:
        console.print(difficulty_table(metrics["difficulty"], tuple(metrics["exits"])))
    picture = run.folder / "figures" / "exits.png"
    if picture.exists():
        console.print(f"What each exit saw: {picture}")


def main() -> None:
    """The command line."""
    run_verb("evaluate", EvaluateConfig, work)


if __name__ == "__main__":
    main()
