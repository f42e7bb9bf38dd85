"""`benchmark`: a cascade with its policy, its baseline and other static models answer the same photos in turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cascade_exit.apps.benchmark_tables import ap_latency, case_table
from cascade_exit.apps.console import people
from cascade_exit.apps.evaluate import TRACKED, open_asked
from cascade_exit.apps.export import on_backend
from cascade_exit.apps.judging import Figures, Subject, judge_policy
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.policy_files import FoundPolicy
from cascade_exit.apps.results import Provenance, exit_figures, set_facts, write_metrics
from cascade_exit.apps.trace import find_or_make_trace
from cascade_exit.config import BenchmarkConfig, Call, EvaluateConfig, TraceConfig
from cascade_exit.data import load_role, open_images
from cascade_exit.evaluation import ImageTruth, exit_measures, match_detections
from cascade_exit.model import FULL
from cascade_exit.orchestration import run_verb
from cascade_exit.policies import Policy
from cascade_exit.policies.reporting import static_figures
from cascade_exit.policies.rules import with_threshold
from cascade_exit.policies.tuning import NEVER_STOPS
from cascade_exit.report import save_figure
from cascade_exit.runs import Run, UserError, find_run, plain, this_machine
from cascade_exit.runtime import Runner
from cascade_exit.runtime.latency import spread_places, static_runner
from cascade_exit.runtime.network import Backend
from cascade_exit.runtime.promise import check_promise
from cascade_exit.runtime.race import Race, race
from cascade_exit.runtime.stage_costs import Timing
from cascade_exit.trace import Trace
from cascade_exit.tracking import log_figures, tracked

# Contenders besides static models, which go by their ids.
POLICY, WORST = "policy", "nothing exits"
FIGURE = Path("figures") / "ap_latency.png"


@dataclass(frozen=True)
class Case:
    """How contenders are run.

    Attributes:
        backend: what computes.
        threads: CPU threads.
        batch_size: photos at once.
    """

    backend: Backend
    threads: int
    batch_size: int


def work(config: BenchmarkConfig, call: Call) -> Path:
    """Measures, unless the same was measured before."""
    root, asked = Path(config.runs_root), _evaluation(config)
    model = open_asked(config.run, asked, root)
    if len(model.detector.exit_names) < 2:
        raise UserError(f"run={config.run}: a static model has no early exit; give it as baseline or among statics")
    policy = FoundPolicy.open(config.policy, model, root)
    references = ([config.baseline] if config.baseline else []) + list(config.statics)
    statics = [open_asked(reference, asked, root) for reference in dict.fromkeys(references)]
    for reference, static in zip(dict.fromkeys(references), statics, strict=True):
        if static.detector.class_map != model.detector.class_map:
            raise UserError(f"{reference}: its classes are not those of run={config.run}")
    data = model.data(config.data)
    images = load_role(data, config.role, progress=True)
    if len(images) < max(config.batch_size, *config.batch_sizes, 1):
        raise UserError(f"batch_sizes must not exceed the images of the {config.role} role ({len(images)})")
    trace, traced = find_or_make_trace(model, _tracing(config))
    fingerprints = {config.role: images.fingerprint, "model": model.fingerprint, "policy": policy.fingerprint}
    fingerprints |= {f"static {static.id}": static.fingerprint for static in statics}
    if config.baseline:
        fingerprints["baseline"] = statics[0].fingerprint
    parents = [model.id, *(static.id for static in statics), traced.id, *([policy.run] if policy.run else [])]
    logger_config = model.logger(config.logger)
    with open_call(replace(config, data=None, logger=logger_config), call, fingerprints, parents) as run:
        if not run.finished:
            store = open_images([images], data, progress=True)
            baseline = statics[0] if config.baseline else None
            subject = Subject(asked, model, baseline, images, store, data.workers, model, baseline)
            inputs = [each.folder for each in (model, *statics)] + [find_run(traced.id, root)]
            with tracked(logger_config, run, inputs) as logger:
                _measure(config, run, subject, policy.policy, trace, statics)
                log_figures(
                    logger, {name: run.manifest.metrics[name] for name in TRACKED if name in run.manifest.metrics}
                )
        _show(run, people())
    return run.folder


def _evaluation(config: BenchmarkConfig) -> EvaluateConfig:
    """What `evaluate` would be told of everything but the clock."""
    return EvaluateConfig(
        run=config.run,
        data=config.data,
        role=config.role,
        policy=config.policy,
        baseline=config.baseline,
        backend=config.timed_backends[0],
        threads=config.threads,
        bootstrap=config.bootstrap,
        latency_images=0,
        runs_root=config.runs_root,
    )


def _tracing(config: BenchmarkConfig) -> TraceConfig:
    return TraceConfig(
        run=config.run, data=config.data, logger=config.logger, split=config.role, runs_root=config.runs_root
    )


def _measure(
    config: BenchmarkConfig, run: Run, subject: Subject, policy: Policy, trace: Trace, statics: Sequence[TrainedModel]
) -> None:
    truth = [ImageTruth.from_record(record) for record in subject.images.records]
    ids = [image.image_id for image in truth]
    measures = {
        name: exit_measures(
            match_detections(truth, trace.exits[name].detections.by_image_id(ids), trace.header.classes)
        )
        for name in trace.header.exit_names
    }
    judged_statics = {static.id: subject.static_of(static) for static in statics}
    against = judged_statics[subject.baseline.id] if subject.baseline else subject.own_full(trace)
    judged = judge_policy(subject, policy, trace, against, run)
    metrics = set_facts(subject.images) | {"exits": exit_figures(measures, subject.model.detector.costs)}
    metrics |= judged.figures | {"statics": {name: static_figures(each) for name, each in judged_statics.items()}}
    intervals: dict[str, Any] = dict(judged.intervals)
    over = subject.baseline.id if subject.baseline else FULL
    metrics["latency"] = []
    for case in _cases(config, subject.model):
        contenders = _contenders(config, case, subject, policy, statics)
        found = race(
            contenders,
            subject.images,
            subject.store,
            spread_places(len(subject.images), max(config.images, case.batch_size)),
            case.batch_size,
            config.repeats,
            case.threads,
            progress=True,
        )
        figures = _case_figures(case, found, over, config.bootstrap, subject.groups)
        checkpoint = subject.timed.detector.checkpoint
        averaged, nms_iou = checkpoint.model.averaged_with, checkpoint.decoding.nms_iou
        kept = check_promise(policy, trace, found.places, found.stopped[POLICY], averaged, nms_iou)
        figures["runner"] = plain(kept)
        metrics["latency"].append(figures)
    _take_main(metrics, intervals, metrics["latency"][0], over)
    metrics["intervals"] = intervals
    run.manifest.metrics.update(metrics)
    write_metrics(run, metrics, Provenance(metrics["latency"][0]["backend"], config.threads))
    save_figure(ap_latency(metrics), run.folder / FIGURE)


def _cases(config: BenchmarkConfig, model: TrainedModel) -> Iterator[Case]:
    """The case asked for first, on every backend, then all threads, then the larger batches."""
    all_threads = this_machine().cores
    threads = config.threads or all_threads
    variants = [(threads, config.batch_size)]
    if config.all_threads:
        variants.append((all_threads, config.batch_size))
    variants += [(threads, size) for size in config.batch_sizes]
    backends = [backend or model.detector.backend for backend in config.timed_backends]
    for count, size in dict.fromkeys(variants):
        for backend in dict.fromkeys(backends):
            yield Case(backend, count, size)


def _contenders(
    config: BenchmarkConfig, case: Case, subject: Subject, policy: Policy, statics: Sequence[TrainedModel]
) -> dict[str, Runner]:
    def opened(model: TrainedModel) -> TrainedModel:
        return on_backend(model, case.backend, case.threads, Path(config.runs_root))

    detector = opened(subject.model).detector
    never = {name: with_threshold(rule, NEVER_STOPS) for name, rule in policy.rules.items()}
    return {
        POLICY: Runner(detector, policy),
        WORST: Runner(detector, replace(policy, rules=never)),
        FULL: static_runner(detector),
        **{static.id: static_runner(opened(static).detector) for static in statics},
    }


def _case_figures(case: Case, found: Race, over: str, resamples: int, groups: Sequence[str]) -> Figures:
    of_photos = [groups[place] for place in found.places]
    contenders: dict[str, Figures] = {}
    for name, laps in found.laps.items():
        timing = Timing.of(laps.total_ms.ravel())
        figures: Figures = {
            "mean_ms": timing.mean_ms,
            "latency_ms": {"p50": timing.p50_ms, "p90": timing.p90_ms, "p99": timing.p99_ms},
            "resize_ms": float(laps.resize_ms.mean()),
            "network_ms": float(laps.network_ms.mean()),
            "postprocessing_ms": float(laps.postprocessing_ms.mean()),
            "end_to_end_ms": float((laps.total_ms + found.decode_ms).mean()),
        }
        for key, end_to_end in (("speedup", False), ("speedup_end_to_end", True)):
            figures[key] = found.speedup(name, over, end_to_end)
            if resamples:
                figures[f"{key}_interval"] = found.speedup_interval(name, over, resamples, of_photos, end_to_end)
        contenders[name] = figures
    return {
        "backend": case.backend,
        "threads": case.threads,
        "batch_size": case.batch_size,
        "images": len(found.places),
        "decode_ms": float(found.decode_ms.mean()),
        "contenders": contenders,
    }


def _take_main(metrics: dict[str, Any], intervals: dict[str, Any], case: Figures, over: str) -> None:
    """Puts the figures of the case asked for where `evaluate` has them."""
    own, other = case["contenders"][POLICY], case["contenders"][over]
    metrics["policy"] |= {
        "speedup_latency": own["speedup"],
        "mean_latency_ms": own["mean_ms"],
        "latency_ms": own["latency_ms"],
        "worst_case_speedup": case["contenders"][WORST]["speedup"],
        "runner": case["runner"],
    }
    metrics["baseline"]["mean_latency_ms"] = other["mean_ms"]
    if "speedup_interval" in own:
        intervals["policy.speedup_latency"] = own["speedup_interval"]
        intervals["policy.worst_case_speedup"] = case["contenders"][WORST]["speedup_interval"]


def _show(run: Run, console: Console) -> None:
    metrics = run.manifest.metrics
    for case in metrics["latency"]:
        console.print(case_table(case, metrics))
    for line in run.manifest.warnings:
        console.print(f"[yellow]Warning:[/] {line}")
    console.print(f"AP over milliseconds: {run.folder / FIGURE}")


def main() -> None:
    """The command line."""
    run_verb("benchmark", BenchmarkConfig, work)


if __name__ == "__main__":
    main()
