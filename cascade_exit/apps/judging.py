"""What `evaluate` says of a way of stopping: policy, baseline, bounds, intervals, latency, corruptions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from cascade_exit.apps.opening import TrainedModel
from cascade_exit.config import EvaluateConfig
from cascade_exit.data import CocoSet, CorruptedStore, ImageStore
from cascade_exit.data.corruptions import KINDS, SEVERITIES
from cascade_exit.evaluation import ImageTruth, Matches, match_detections
from cascade_exit.evaluation.intervals import Interval
from cascade_exit.model import FULL
from cascade_exit.policies import Policy
from cascade_exit.policies.class_thresholds import compare_class_thresholds
from cascade_exit.policies.fair import Measuring, crossfit_families, fixed_thresholds
from cascade_exit.policies.pooling import calibrated_matches
from cascade_exit.policies.reporting import (
    Answers,
    answer_figures,
    answer_intervals,
    bounds_figures,
    figures_on,
    static_figures,
)
from cascade_exit.policies.scoring import Scorer, Static
from cascade_exit.runs import Run, UserError, plain
from cascade_exit.runtime import Runner, detect_set, trace_set
from cascade_exit.runtime.latency import Timed, spread_places, static_runner, time_together
from cascade_exit.runtime.promise import check_promise
from cascade_exit.runtime.stage_costs import Timing
from cascade_exit.trace import Trace

Figures = dict[str, Any]
# Limit of the drop at which thresholds per class are compared with one for all.
CLASS_THRESHOLDS_DROP = 0.03


@dataclass(frozen=True, eq=False)
class Subject:
    """What is evaluated, and on what.

    Attributes:
        config: as asked.
        model: the trained model.
        baseline: a static model; the model's own full exit where None.
        images: the set.
        store: where its decoded images come from.
        workers: loading processes.
        timed: the model on the backend that is timed, and held against the trace.
        timed_baseline: likewise.
    """

    config: EvaluateConfig
    model: TrainedModel
    baseline: TrainedModel | None
    images: CocoSet
    store: ImageStore
    workers: int
    timed: TrainedModel
    timed_baseline: TrainedModel | None

    @property
    def groups(self) -> tuple[str, ...]:
        """Of each image, in the order of the set."""
        return tuple(record.group for record in self.images.records)

    def static_of(self, model: TrainedModel) -> Static:
        """Another model's full exit on the same images."""
        detector = model.detector
        found = detect_set(detector, self.images, self.store, self.config.batch_size, self.workers, progress=True)
        truth = [ImageTruth.from_record(record) for record in self.images.records]
        matches = match_detections(truth, found.detections_by_exit()[FULL], self.images.class_map.names)
        return Static(model.id, matches, detector.costs[FULL].macs)

    def own_full(self, trace: Trace) -> Static:
        """The model's own full exit, as the trace has it."""
        return Static(FULL, calibrated_matches(trace, FULL), trace.header.macs[FULL])


@dataclass(frozen=True, eq=False)
class Judged:
    """A policy on a set.

    Attributes:
        figures: policy, baseline and bounds of metrics.json.
        intervals: by the figure's path in metrics.json.
        answers: of the policy.
    """

    figures: Figures
    intervals: dict[str, Interval]
    answers: Answers


def judge_policy(subject: Subject, policy: Policy, trace: Trace, static: Static, run: Run) -> Judged:
    """Holds a policy against the baseline, chance, an oracle and its own runner."""
    config = subject.config
    scorer = Scorer(trace, trace.header.macs, policy.calibration)
    choice = policy.choose(trace)
    answers = Answers(scorer.mixture.choose(choice), choice, scorer.costs)
    of_policy = {"name": policy.name, **answer_figures(answers, trace.header.exit_names, static)}
    of_baseline = static_figures(static)
    bounds, gap = bounds_figures(scorer, choice, subject.groups, progress=True)
    intervals: dict[str, Interval | None] = {}
    if config.bootstrap:
        found = answer_intervals(answers, static, config.bootstrap, subject.groups)
        intervals |= {f"policy.{name}": interval for name, interval in found.items()} | {"bounds.gap": gap}
    if config.latency_images:
        timed = _time(subject, policy)
        checkpoint = subject.timed.detector.checkpoint
        averaged, nms_iou = checkpoint.model.averaged_with, checkpoint.decoding.nms_iou
        kept = check_promise(policy, trace, timed.places, timed.stopped, averaged, nms_iou)
        of_policy |= _latency(timed) | {"runner": plain(kept)}
        of_baseline["mean_latency_ms"] = float(timed.baseline_ms.mean())
        if config.bootstrap:
            groups = [subject.groups[place] for place in timed.places]
            intervals["policy.speedup_latency"] = timed.speedup_interval(config.bootstrap, groups)
        if timed.drift:
            run.warn(timed.drift)
    if policy.tuned_on.get("data") == subject.images.fingerprint:
        run.warn("the policy was tuned on these very images, so its figures flatter it")
    figures = {"policy": of_policy, "baseline": of_baseline, "bounds": bounds}
    known = {name: interval for name, interval in intervals.items() if interval is not None}
    return Judged(figures, known, answers)


def crossfit_figures(subject: Subject, trace: Trace, static: Static, run: Run) -> Figures:
    """Fills crossfit, crossfit_best, fixed_thresholds and, where there are several classes, class_thresholds."""
    measuring = Measuring(trace, trace.header.macs, static, subject.groups, subject.config.bootstrap)
    fitted = crossfit_families(measuring, progress=True)
    for family, reason in fitted.left_out.items():
        run.warn(f"cross-fitting left out {family}: {reason}")
    figures: Figures = {
        "crossfit": fitted.figures,
        "crossfit_best": fitted.best,
        "fixed_thresholds": fixed_thresholds(measuring),
    }
    if len(trace.header.classes) > 1:
        try:
            figures["class_thresholds"] = compare_class_thresholds(measuring, CLASS_THRESHOLDS_DROP)
        except UserError as error:
            run.warn(f"thresholds per class are not compared: {error}")
    return figures


def corruption_figures(subject: Subject, policy: Policy | None) -> dict[str, dict[str, Figures]]:
    """Fills corruptions: figures by kind and severity."""
    figures: dict[str, dict[str, Figures]] = {kind: {} for kind in KINDS}
    cases = [(kind, severity) for kind in KINDS for severity in SEVERITIES]
    for kind, severity in track(cases, "Corruptions", console=Console(stderr=True)):
        store = CorruptedStore(subject.store, kind, severity)
        model, config = subject.model, subject.config
        trace = trace_set(
            model.detector,
            model.fingerprint,
            config.role,
            subject.images,
            store,
            batch_size=config.batch_size,
            workers=subject.workers,
        )
        figures[kind][str(severity)] = _everywhere(trace, policy)
    return figures


def _everywhere(trace: Trace, policy: Policy | None) -> Figures:
    """Figures of every exit, and of the policy, on all images."""
    names = trace.header.exit_names
    by_name: dict[str, Matches] = {name: calibrated_matches(trace, name) for name in names}
    choice = None
    if policy is not None:
        scorer = Scorer(trace, trace.header.macs, policy.calibration)
        choice = policy.choose(trace)
        by_name["policy"] = scorer.mixture.choose(choice)
    return figures_on(by_name, np.ones(len(trace), bool), choice, names)


def _time(subject: Subject, policy: Policy) -> Timed:
    detector = subject.timed.detector
    baseline = detector if subject.timed_baseline is None else subject.timed_baseline.detector
    return time_together(
        Runner(detector, policy),
        static_runner(baseline),
        subject.images,
        subject.store,
        spread_places(len(subject.images), subject.config.latency_images),
        progress=True,
    )


def _latency(timed: Timed) -> Figures:
    timing = Timing.of(timed.runner_ms)
    return {
        "speedup_latency": timed.speedup,
        "mean_latency_ms": timing.mean_ms,
        "latency_ms": {"p50": timing.p50_ms, "p90": timing.p90_ms, "p99": timing.p99_ms},
    }
