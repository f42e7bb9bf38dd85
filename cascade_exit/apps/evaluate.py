"""`evaluate`: every exit of a trained detector on every image of one role, and what a policy makes of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch.loggers import Logger
from rich.console import Console

from cascade_exit.apps.class_figures import draw_classes
from cascade_exit.apps.console import people
from cascade_exit.apps.export import on_backend
from cascade_exit.apps.judging import Subject, corruption_figures, crossfit_figures, judge_policy
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.phase_tables import log_per_class, log_predictions
from cascade_exit.apps.policy_files import FoundPolicy
from cascade_exit.apps.policy_tables import classes_table, corruption_table, crossfit_table, kinds_table, policy_table
from cascade_exit.apps.results import Provenance, exit_figures, exit_table, set_facts, write_metrics
from cascade_exit.apps.trace import find_or_make_trace
from cascade_exit.config import Call, EvaluateConfig, TraceConfig
from cascade_exit.data import load_role, open_images
from cascade_exit.evaluation import DetectionArrays, ImageTruth, exit_measures, image_kinds, match_detections
from cascade_exit.evaluation.intervals import Interval
from cascade_exit.orchestration import run_verb
from cascade_exit.policies.class_analysis import Analysed, analyse_classes
from cascade_exit.policies.reporting import DropOn, exit_intervals, figures_by_kind, static_figures
from cascade_exit.runs import Run, UserError, find_run
from cascade_exit.runtime import detect_set
from cascade_exit.runtime.exported import is_exported
from cascade_exit.trace import Trace
from cascade_exit.tracking import log_figures, tracked
from cascade_exit.visualization import save_exit_grid, spread_ids

NO_POLICY = "none"
TRACKED = ("images", "boxes", "exits", "policy", "baseline", "bounds", "intervals")


def work(config: EvaluateConfig, call: Call) -> Path:
    """Measures, unless the same was measured before."""
    console = people()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    root = Path(config.runs_root)
    model = open_asked(config.run, config, root)
    baseline = open_asked(config.baseline, config, root) if config.baseline else None
    if baseline and baseline.detector.class_map != model.detector.class_map:
        raise UserError(f"baseline={config.baseline}: its classes are not those of run={config.run}")
    logger_config = model.logger(config.logger)
    config = replace(config, logger=logger_config)
    policy = None
    if config.policy != NO_POLICY:
        policy = FoundPolicy.open(config.policy, model, root, config.transfer)
    data = model.data(config.data)
    images = load_role(data, config.role, progress=True)
    trace, traced = None, None
    if policy or config.crossfit:
        trace, traced = find_or_make_trace(model, _tracing(config))
    fingerprints: dict[str, str] = {config.role: images.fingerprint, "model": model.fingerprint}
    if baseline:
        fingerprints["baseline"] = baseline.fingerprint
    if policy:
        fingerprints["policy"] = policy.fingerprint
    parents = [model.id, baseline and baseline.id, traced and traced.id, policy and policy.run]
    with open_call(config, call, fingerprints, [parent for parent in parents if parent]) as run:
        if not run.finished:
            store = open_images([images], data, progress=True)
            timed = on_backend(model, config.backend, config.threads, root)
            timed_baseline = baseline and on_backend(baseline, config.backend, config.threads, root)
            subject = Subject(config, model, baseline, images, store, data.workers, timed, timed_baseline)
            inputs = [
                model.folder,
                *([baseline.folder] if baseline else []),
                *([find_run(traced.id, root)] if traced else []),
                *([policy.path.parent] if policy and policy.run else []),
            ]
            with tracked(logger_config, run, inputs) as logger:
                _measure(run, subject, policy, trace, logger)
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {line}")
        _show(run, model, config.role, console)
    return run.folder


def open_asked(reference: str, config: EvaluateConfig, root: Path) -> TrainedModel:
    """A model as it is; an exported one with the backend that is asked for."""
    exported = is_exported(find_run(reference, root))
    return TrainedModel.open(reference, root, config.device, config.backend if exported else "torch", config.threads)


def _tracing(config: EvaluateConfig) -> TraceConfig:
    return TraceConfig(
        run=config.run,
        data=config.data,
        logger=config.logger,
        split=config.role,
        device=config.device,
        batch_size=config.batch_size,
        runs_root=config.runs_root,
    )


def _measure(run: Run, subject: Subject, policy: FoundPolicy | None, trace: Trace | None, logger: Logger) -> None:
    config, images = subject.config, subject.images
    truth = [ImageTruth.from_record(record) for record in images.records]
    found = _found(subject, truth, trace)
    matches = {name: match_detections(truth, of_exit, images.class_map.names) for name, of_exit in found.items()}
    measures = {name: exit_measures(of_exit) for name, of_exit in matches.items()}
    metrics = set_facts(images) | {"exits": exit_figures(measures, subject.model.detector.costs)}
    intervals: dict[str, Interval] = {}
    if config.bootstrap:
        found_intervals = exit_intervals(matches, config.bootstrap, subject.groups)
        intervals = {f"exits.{path}": interval for path, interval in found_intervals.items()}
    analysed = Analysed(dict(matches), subject.groups, config.bootstrap)
    choice, drop = None, None
    if trace is not None:
        static = subject.own_full(trace) if subject.baseline is None else subject.static_of(subject.baseline)
        metrics["baseline"] = static_figures(static)
        if policy:
            judged = judge_policy(subject, policy.policy, trace, static, run)
            if policy.tuned_for:
                run.warn(
                    f"the policy was tuned for another model and is applied unchanged; it is of {policy.tuned_for}"
                )
                judged.figures["policy"]["tuned_for"] = policy.tuned_for
            metrics |= judged.figures
            intervals |= judged.intervals
            matches["policy"], choice = judged.answers.matches, judged.answers.choice
            drop = DropOn(judged.answers.matches, static.matches, config.bootstrap, subject.groups)
            named = static.matches if subject.baseline else None
            analysed = replace(analysed, answers=judged.answers, baseline=named)
        if config.crossfit:
            metrics |= crossfit_figures(subject, trace, static, run)
    elif subject.baseline:
        metrics["baseline"] = static_figures(subject.static_of(subject.baseline))
    if intervals:
        metrics["intervals"] = intervals
    kinds = image_kinds(truth, [record.difficulty for record in images.records])
    metrics["by"] = figures_by_kind(matches, kinds, choice, tuple(found), drop)
    metrics |= analyse_classes(analysed)
    if policy:
        for name, thresholds in policy.policy.class_thresholds().items():
            metrics["classes"].get(name, {})["threshold"] = thresholds
    if config.corruptions:
        metrics["corruptions"] = corruption_figures(subject, policy.policy if policy else None)
    run.manifest.metrics.update(metrics)
    write_metrics(run, metrics, Provenance(subject.timed.detector.backend, config.threads))
    log_figures(logger, {name: metrics[name] for name in TRACKED if name in metrics})
    log_per_class(logger, metrics["classes"], tuple(found))
    if policy and len(found) > 1:  # of a static model, a policy is its calibration: no one leaves early
        draw_classes(metrics["classes"], run.folder / "figures" / "classes.png")
    if config.pictures:
        (run.folder / "figures").mkdir(exist_ok=True)
        shown = spread_ids(images, config.pictures)
        log_predictions(logger, subject, found, matches, choice, shown)
        save_exit_grid(images, subject.store, found, shown, run.folder / "figures" / "exits.png")


def _found(
    subject: Subject, truth: list[ImageTruth], trace: Trace | None
) -> Mapping[str, Mapping[int, DetectionArrays]]:
    """What every exit finds: from the trace where there is one, so that the network runs once."""
    if trace is None:
        detector, batch_size = subject.timed.detector, subject.config.batch_size
        metric = detect_set(detector, subject.images, subject.store, batch_size, subject.workers, progress=True)
        return metric.detections_by_exit()
    ids = [image.image_id for image in truth]
    return {name: trace.exits[name].detections.by_image_id(ids) for name in trace.header.exit_names}


def _show(run: Run, model: TrainedModel, role: str, console: Console) -> None:
    metrics = run.manifest.metrics
    exits = tuple(metrics["exits"])
    console.print(
        exit_table(metrics["exits"], f"{model.id} on {metrics['images']} {role} images", metrics.get("intervals"))
    )
    if "policy" in metrics:
        console.print(policy_table(metrics))
    elif "baseline" in metrics:
        console.print(f"Baseline {metrics['baseline']['run']}: AP {metrics['baseline'].get('AP', float('nan')):.3f}")
    console.print(classes_table(metrics))
    console.print(kinds_table(metrics["by"], exits))
    if "crossfit" in metrics:
        console.print(crossfit_table(metrics))
    if "corruptions" in metrics:
        console.print(corruption_table(metrics["corruptions"], exits))
    picture = run.folder / "figures" / "exits.png"
    if picture.exists():
        console.print(f"What each exit saw: {picture}")


def main() -> None:
    """The command line."""
    run_verb("evaluate", EvaluateConfig, work)


if __name__ == "__main__":
    main()
