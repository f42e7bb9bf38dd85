"""`trace`: one pass over a split that keeps what every exit says of every image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.config import Call, TraceConfig
from cascade_exit.data import CocoSet, load_role, open_images
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Manifest, Run
from cascade_exit.runtime import trace_set
from cascade_exit.trace import TRACE_NAME, Trace, check_trace, read_trace, write_trace
from cascade_exit.tracking import log_figures, tracked


def work(config: TraceConfig, call: Call) -> Path:
    """Traces, unless the same was traced before."""
    model = TrainedModel.open(config.run, Path(config.runs_root), config.device)
    run, images = _traced(model, config, call)
    people().print(_table(run, f"{model.id}: {len(images)} {config.split} images"))
    return run.folder


def find_or_make_trace(model: TrainedModel, config: TraceConfig) -> tuple[Trace, Manifest]:
    """The trace that the verb would keep for this configuration, read where it is there, made where it is not.

    Args:
        model: what `config.run` stands for.
        config: which split of which set, and where runs go.

    Returns:
        The trace, and the manifest of its run.

    Raises:
        UserError: the split has no image, or the trace that lies there is damaged or of something else.
    """
    words = (f"run={config.run}", f"split={config.split}")
    run, images = _traced(model, config, Call("trace", " ".join(["cascade-exit", "trace", *words]), words))
    trace = read_trace(run.folder / TRACE_NAME)
    check_trace(trace, model=model.fingerprint, data=images.fingerprint, classes=images.class_map.names)
    return trace, run.manifest


def _traced(model: TrainedModel, config: TraceConfig, call: Call) -> tuple[Run, CocoSet]:
    """The run that holds the trace, closed, and what was traced."""
    data = model.data(config.data)
    images = load_role(data, config.split, progress=True)
    fingerprints = {config.split: images.fingerprint, "model": model.fingerprint}
    # The set is in the identity by its fingerprint, so that a set that was named and one that was found are the same.
    logger_config = model.logger(config.logger)
    identified = replace(config, data=None, logger=logger_config)
    with open_call(identified, call, fingerprints, [model.id], wait=True) as run:
        if not run.finished:
            with tracked(logger_config, run, [model.folder]) as logger:
                store = open_images([images], data, progress=True)
                trace = trace_set(
                    model.detector,
                    model.fingerprint,
                    config.split,
                    images,
                    store,
                    score_threshold=config.score_threshold,
                    batch_size=config.batch_size,
                    workers=data.workers,
                    progress=True,
                )
                write_trace(run.folder / TRACE_NAME, trace)
                run.manifest.metrics.update(_summary(trace))
                log_figures(logger, {"images": len(images), "exits": run.manifest.metrics})
    return run, images


def _summary(trace: Trace) -> dict[str, dict[str, float]]:
    """Mean quality of every exit over the images that have objects, and false alarms over those without."""
    with_objects = ~np.isnan(next(iter(trace.exits.values())).quality.recall)
    summary = {}
    for name, of_exit in trace.exits.items():
        quality = of_exit.quality
        figures = {"false_positives": float(quality.false_positives.mean())}
        if with_objects.any():
            figures["recall"] = float(quality.recall[with_objects].mean())
            figures["f1"] = float(quality.f1[with_objects].mean())
        if not with_objects.all():
            figures["false_positives_empty"] = float(quality.false_positives[~with_objects].mean())
        summary[name] = figures
    return summary


def _table(run: Run, title: str) -> Table:
    columns = {
        "recall": "recall",
        "f1": "F1",
        "false_positives": "false alarms an image",
        "false_positives_empty": "in images without objects",
    }
    table = Table(title=title, title_justify="left")
    table.add_column("exit")
    for column in columns.values():
        table.add_column(column, justify="right")
    for name, figures in run.manifest.metrics.items():
        table.add_row(name, *(f"{figures[key]:.3f}" if key in figures else "–" for key in columns))
    return table


def main() -> None:
    """The command line."""
    run_verb("trace", TraceConfig, work)


if __name__ == "__main__":
    main()
