"""Runs and phases as tables and trees for the terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from cascade_exit.orchestration.lineage import KnownRun, Lineage
from cascade_exit.orchestration.phases import Step
from cascade_exit.runs import Manifest
from cascade_exit.runtime.kept_model import DESCRIPTION

_COLOURS = {
    **{"finished": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"},
    **{"done": "green", "due": "yellow", "given": "cyan", "left out": "dim"},
}


def plan_table(name: str, steps: Sequence[Step]) -> Table:
    """Which phases would run, and why."""
    due = sum(step.state == "due" for step in steps)
    table = Table(title=f"pipeline {name}: {due} of {len(steps)} phases would run", title_justify="left")
    for column in ("phase", "would run", "why", "run"):
        table.add_column(column, overflow="fold")
    for step in steps:
        # The run of a phase that is due is one that it goes on with, or begins anew.
        run = step.run.name if step.run else ""
        table.add_row(step.name, "[yellow]yes[/]" if step.state == "due" else "no", escape(step.why), escape(run))
    return table


def end_table(name: str, steps: Sequence[Step], runs: Sequence[KnownRun | None]) -> Table:
    """Every phase with what it came to; a run is None where it is no run, such as a kept model."""
    table = Table(title=f"pipeline {name}", title_justify="left")
    for column in ("phase", "this time", "seconds", "figure", "run"):
        table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for step, run in zip(steps, runs, strict=True):
        what = "ran" if step.state == "due" else step.state
        cells = [f"{run.manifest.times.seconds:.0f}", main_figure(run.manifest)] if run else ["", ""]
        folder = run.folder if run else step.run
        table.add_row(step.name, f"[{_COLOURS[step.state]}]{what}[/]", *cells, escape(str(folder or "")))
    return table


def list_table(lineage: Lineage, root: Path) -> Table:
    """All runs, the newest last."""
    code = f", code at {lineage.git.sha[:8]}" if lineage.git else ""
    table = Table(
        title=f"{len(lineage.runs)} runs in {root}, times in UTC{code}", title_justify="left", box=SIMPLE_HEAD
    )
    for column in ("id", "verb", "name", "state", "when", "figure", "parents", "stale"):
        table.add_column(column, overflow="fold")
    for run in lineage.runs.values():
        table.add_row(
            run.id,
            run.manifest.verb,
            escape(_label(run)),
            f"[{_COLOURS[run.state]}]{run.state}[/]",
            _clock(run.manifest),
            main_figure(run.manifest),
            escape(" ".join(dict.fromkeys(run.manifest.parents))),
            escape("; ".join(lineage.why_stale(run))),
        )
    return table


def lineage_tree(lineage: Lineage, run: KnownRun) -> Tree:
    """A run with all that it comes from and all that came of it; what is stale says why."""
    tree = Tree(_line(lineage, run))
    facts = [run.manifest.command, str(run.folder)]
    if run.manifest.git:
        facts.append(
            f"code {run.manifest.git.sha[:8]}{', with changes that are not committed' * run.manifest.git.dirty}"
        )
    for fact in (*facts, *([run.manifest.error] if run.manifest.error else []), *run.manifest.warnings):
        tree.add(f"[dim]{escape(fact)}[/]")
    if run.manifest.parents:
        _add_parents(tree.add("comes from"), lineage, lineage.parents(run))
    if phases := run.manifest.metrics.get("phases"):
        _add_parents(tree.add("phases"), lineage, phases.values(), deeper=False)
    if lineage.children(run.id):
        _add_children(tree.add("came of it"), lineage, run.id)
    return tree


def main_figure(manifest: Manifest) -> str:
    """The figure by which a run of its verb is judged."""
    metrics = manifest.metrics
    policy, full = metrics.get("policy", {}), (metrics.get("exits") or metrics).get("full", {})
    if "AP" in policy:
        speedup = policy.get("speedup_macs", policy.get("speedup_latency"))
        return f"policy AP {policy['AP']:.3f}" + (f", {speedup:.2f}x" if speedup else "")
    if isinstance(full, dict):
        for key, name in (("AP", "full AP"), ("recall", "full recall")):
            if key in full:
                return f"{name} {full[key]:.3f}"
    if "phases" in metrics:
        return f"{len(metrics['phases'])} phases"
    return "–"


def _add_parents(branch: Tree, lineage: Lineage, ids: Iterable[str], deeper: bool = True) -> None:
    for parent in dict.fromkeys(ids):
        known = lineage.runs.get(parent)
        if known is None:
            kept = (Path(parent) / DESCRIPTION).is_file()
            branch.add(escape(parent) + (" [dim]kept model[/]" if kept else " [red]gone[/]"))
            continue
        twig = branch.add(_line(lineage, known))
        if deeper:
            _add_parents(twig, lineage, lineage.parents(known))


def _add_children(branch: Tree, lineage: Lineage, run_id: str) -> None:
    for child in lineage.children(run_id):
        _add_children(branch.add(_line(lineage, child)), lineage, child.id)


def _line(lineage: Lineage, run: KnownRun) -> str:
    stale = "; ".join(lineage.why_stale(run))
    facts = f"[{_COLOURS[run.state]}]{run.state}[/] {_clock(run.manifest)}  {main_figure(run.manifest)}"
    line = f"[bold]{run.id}[/] {run.manifest.verb} {escape(_label(run))}  {facts}"
    return line + (f"  [yellow]stale: {escape(stale)}[/]" if stale else "")


def _label(run: KnownRun) -> str:
    return run.folder.name.removesuffix(f"-{run.id}")


def _clock(manifest: Manifest) -> str:
    return (manifest.times.finished or manifest.times.started)[:16].replace("T", " ")
