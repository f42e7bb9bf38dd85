"""`tune`: from the trace of the calibrate role to policy.json, with everything that was tried on the way."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

from lightning.pytorch.loggers import Logger
from rich.console import Console

from cascade_exit.apps.console import people
from cascade_exit.apps.export import on_backend
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.phase_tables import log_tuning
from cascade_exit.apps.policy_figures import draw_figures, draw_pictures
from cascade_exit.apps.trace import find_or_make_trace
from cascade_exit.apps.tuning_outcome import (
    CostTable,
    Outcome,
    StaticPoint,
    best_outcome,
    tune_by_objective,
    tune_by_risk,
)
from cascade_exit.apps.tuning_record import FIGURES, RECORD, find_references, record_outcome, show_record
from cascade_exit.config import Call, TraceConfig, TuneConfig
from cascade_exit.data import CocoSet, ImageStore, load_role, read_inputs
from cascade_exit.evaluation import Matches, average_precision
from cascade_exit.model import FULL
from cascade_exit.orchestration import run_verb
from cascade_exit.policies import write_policy
from cascade_exit.policies.distributions import statistic_distributions
from cascade_exit.policies.pooling import calibrated_matches, fit_calibration
from cascade_exit.policies.scoring import Static
from cascade_exit.policies.selection import Bench, Calibrate, Prepare
from cascade_exit.policies.tuning import family_names
from cascade_exit.runs import Run, UserError, closest, find_run
from cascade_exit.runtime import StageCosts, TimingConfig, measure_together, write_stage_costs
from cascade_exit.trace import Trace
from cascade_exit.tracking import log_figures, tracked

AUTO = "auto"
POLICY_NAME = "policy.json"
TIMED_IMAGES = 32


def work(config: TuneConfig, call: Call) -> Path:
    """Tunes, unless the same was tuned before."""
    console = people()
    _check_family(config.family)
    root = Path(config.runs_root)
    model = TrainedModel.open(config.run, root, config.device)
    if len(model.detector.exit_names) < 2:
        raise UserError(f"run={config.run}: a static model has no early exit, so there is nothing to tune")
    shown = tuple(dict.fromkeys([*([config.baseline] if config.baseline else []), *config.static]))
    statics = [_static(reference, config, model, root) for reference in shown]
    logger_config = model.logger(config.logger)
    config = replace(config, logger=logger_config)
    tracing = TraceConfig(
        run=config.run,
        data=config.data,
        logger=config.logger,
        split="calibrate",
        score_threshold=config.score_threshold,
        device=config.device,
        batch_size=config.batch_size,
        runs_root=config.runs_root,
    )
    trace, traced = find_or_make_trace(model, tracing)
    # Statistics that are no numbers are refused here, before families without them hide the fault.
    statistic_distributions(trace)
    of_statics = [
        (static, find_or_make_trace(static, replace(tracing, run=reference, data=model.data(config.data)))[0])
        for reference, static in zip(shown, statics, strict=True)
    ]
    fingerprints = {"calibrate": trace.header.data, "model": model.fingerprint}
    fingerprints |= {f"static {static.id}": static.fingerprint for static in statics}
    if config.baseline:
        fingerprints["baseline"] = statics[0].fingerprint
    parents = [model.id, traced.id, *(static.id for static in statics)]
    with open_call(replace(config, data=None), call, fingerprints, parents) as run:
        if not run.finished:
            images = load_role(model.data(config.data), "calibrate")
            inputs = [model.folder, find_run(traced.id, root), *(static.folder for static in statics)]
            with tracked(logger_config, run, inputs) as logger:
                costs = _costs(config, run, model, of_statics, trace, images)
                baseline = calibrated_matches(of_statics[0][1] if config.baseline else trace, FULL)
                _tune(config, run, model.id, trace, images, costs, baseline, console, logger)
        show_record(run, model.id, console)
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {line}", highlight=False)
        console.print(f"Curve: {run.folder / FIGURES / 'trade_off.png'}\nPolicy: {run.folder / POLICY_NAME}")
    return run.folder


def _check_family(name: str) -> None:
    known = (AUTO, *family_names())
    if name not in known:
        raise UserError(f"family={name}: no such family{closest(name, known)}; there are {', '.join(known)}")


def _static(reference: str, config: TuneConfig, model: TrainedModel, root: Path) -> TrainedModel:
    static = TrainedModel.open(reference, root, config.device)
    if static.detector.class_map != model.detector.class_map:
        key = "baseline" if reference == config.baseline else "static"
        raise UserError(f"{key}={reference}: its classes are not those of the model")
    return static


def _tune(
    config: TuneConfig,
    run: Run,
    model: str,
    trace: Trace,
    images: CocoSet,
    costs: Sequence[CostTable],
    baseline: Matches,
    console: Console,
    logger: Logger,
) -> None:
    names = family_names() if config.family == AUTO else (config.family,)
    calibrate = partial(fit_calibration, temperature=config.temperature, harmonise=config.harmonise)
    groups = [record.group for record in images.records]
    limit = config.risk.limit()
    if limit is None:
        outcome = _best_by_objective(config, names, trace, costs, baseline, calibrate, groups, console)
    else:
        calibrated = config.temperature or config.harmonise
        prepare = _preparing(config, costs[0], baseline, calibrate)
        outcome = tune_by_risk(names, trace, costs[0], prepare, limit, groups, calibrated=calibrated)
    for line in outcome.warnings:
        run.warn(line)
    references = find_references(outcome)
    record_outcome(run, outcome, references, config)
    log_figures(logger, run.manifest.metrics)
    log_tuning(logger, outcome, references)
    if outcome.policy is None:
        assert outcome.control is not None
        show_record(run, model, console)
        raise UserError(f"{outcome.control.reason} (what was tried: {run.folder / RECORD})")
    write_policy(run.folder / POLICY_NAME, outcome.policy)
    folder = run.folder / FIGURES
    draw_figures(folder, outcome, references)
    if config.pictures:
        draw_pictures(folder, outcome, images, ImageStore(), config.pictures)


def _preparing(config: TuneConfig, costs: CostTable, baseline: Matches, calibrate: Calibrate) -> Prepare:
    first = costs.statics[0] if config.baseline else None
    name, cost = (FULL, costs.full) if first is None else (first.name, first.cost)
    return partial(
        Bench.of,
        costs=costs.by_exit,
        calibrate=calibrate,
        quantiles=config.quantiles,
        static=Static(name, baseline, cost),
        deciding=costs.deciding,
    )


def _best_by_objective(
    config: TuneConfig,
    names: Sequence[str],
    trace: Trace,
    costs: Sequence[CostTable],
    baseline: Matches,
    calibrate: Calibrate,
    groups: Sequence[str],
    console: Console,
) -> Outcome:
    """The best outcome over all ways of passing exits by."""
    outcomes, refusals = [], []
    for table in costs:
        prepare = _preparing(config, table, baseline, calibrate)
        try:
            outcomes.append(tune_by_objective(names, trace, table, prepare, config.limits(), groups, console))
        except UserError as error:
            refusals.append(error)
    if not outcomes:
        raise refusals[0]
    return best_outcome(outcomes, config.limits())


def _costs(
    config: TuneConfig,
    run: Run,
    model: TrainedModel,
    statics: Sequence[tuple[TrainedModel, Trace]],
    trace: Trace,
    images: CocoSet,
) -> list[CostTable]:
    """What an image costs that leaves at each exit, and the static models as points, a baseline first.

    On the clock an exit may cost more than it saves, so there is a table for every choice of exits to pass by.
    """
    aps = [average_precision(calibrated_matches(traced, traced.header.exit_names[-1])) for _, traced in statics]
    ids = [static.id for static, _ in statics]
    if not config.in_milliseconds:
        of_statics = [float(traced.header.macs[traced.header.exit_names[-1]]) for _, traced in statics]
        by_exit = {name: float(macs) for name, macs in trace.header.macs.items()}
        return [CostTable("MACs", by_exit, by_exit[FULL], tuple(map(StaticPoint, ids, aps, of_statics)))]
    measured, *others = _measured(config, run, [model, *(static for static, _ in statics)], images)
    points = tuple(map(StaticPoint, ids, aps, (each.leaving_costs(())[FULL] for each in others)))
    early = trace.header.exit_names[:-1]
    some = [chosen for count in range(len(early), 0, -1) for chosen in combinations(early, count)]
    alone = measured.leaving_costs(())[FULL]
    return [CostTable("ms", measured.leaving_costs(chosen), alone, points, chosen) for chosen in some]


def _measured(config: TuneConfig, run: Run, models: Sequence[TrainedModel], images: CocoSet) -> list[StageCosts]:
    store, timing = ImageStore(), TimingConfig(threads=config.threads)
    found = []
    for model in models:
        detector = on_backend(model, config.backend, config.threads, Path(config.runs_root)).detector
        inputs = read_inputs(images, store, detector.checkpoint.model.input, TIMED_IMAGES)
        found += measure_together([detector], inputs, timing, progress=True)
    write_stage_costs(run.folder, found[0])
    return found


def main() -> None:
    """The command line."""
    run_verb("tune", TuneConfig, work)


if __name__ == "__main__":
    main()
