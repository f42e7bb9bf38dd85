"""`describe`: a data set by role and class, how anchors fit it, and what each exit of a model costs on it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cascade_exit.apps.console import people
from cascade_exit.apps.description import describe_anchors, describe_content, describe_near_duplicates, warnings_of
from cascade_exit.apps.description_figures import draw_description
from cascade_exit.apps.description_tables import print_tables
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, DescribeConfig
from cascade_exit.data import ROLES, CocoSet, Role, build_data, load_role
from cascade_exit.model import CascadeDetector, exit_costs
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Run, UserError, atomic_write_json, plain

DESCRIPTION = "description.json"


def work(config: DescribeConfig, call: Call) -> Path:
    """Writes description.json and figures, unless they are there, and prints tables."""
    console = people()
    config = replace(config, data=build_data(config.data, progress=True))
    sets = _sets(config, console)
    with open_call(config, call, {role: images.fingerprint for role, images in sets.items()}) as run:
        if not run.finished:
            _describe(run, config, sets)
        description = json.loads((run.folder / DESCRIPTION).read_text(encoding="utf-8"))
        console.print(_cost_table(description["costs"]))
        print_tables(description, console)
        for line in run.manifest.warnings:
            console.print(f"[yellow]Warning:[/] {escape(line)}", highlight=False)
    return run.folder


def _describe(run: Run, config: DescribeConfig, sets: Mapping[Role, CocoSet]) -> None:
    costs = exit_costs(CascadeDetector(config.model, len(config.data.classes)))
    duplicates, pairs = describe_near_duplicates(sets, config.data.workers)
    description = {
        **describe_content(sets),
        "near_duplicates": duplicates,
        "anchors": describe_anchors(config, sets),
        "costs": {name: plain(cost) for name, cost in costs.items()},
    }
    draw_description(run.folder / "figures", description, pairs)
    atomic_write_json(run.folder / DESCRIPTION, description)
    run.manifest.metrics.update({key: description[key] for key in ("roles", "costs")})
    for line in warnings_of(description):
        run.warn(line)


def _sets(config: DescribeConfig, console: Console) -> dict[Role, CocoSet]:
    """The roles that there are; a set may have only some."""
    sets: dict[Role, CocoSet] = {}
    reasons = []
    for role in ROLES:
        try:
            sets[role] = load_role(config.data, role, progress=True)
        except UserError as error:
            reasons.append(f"{role}: {error}")
    if not sets:
        raise UserError(reasons[0])
    for reason in reasons:
        console.print(f"[yellow]Left out[/] {reason}", highlight=False)
    return sets


def _cost_table(costs: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table(title="Cost of leaving at each exit", title_justify="left")
    for column in ("exit", "MMACs", "M params", "answer MMACs", "answer M params", "attention of answer"):
        table.add_column(column, justify="left" if column == "exit" else "right")
    for name, cost in costs.items():
        shares = (
            cost["attention_macs"] / cost["answer_macs"],
            cost["attention_parameters"] / cost["answer_parameters"],
        )
        table.add_row(
            name,
            f"{cost['macs'] / 1e6:.1f}",
            f"{cost['parameters'] / 1e6:.2f}",
            f"{cost['answer_macs'] / 1e6:.1f}",
            f"{cost['answer_parameters'] / 1e6:.2f}",
            f"{shares[0]:.1%} of MACs, {shares[1]:.1%} of parameters",
        )
    return table


def main() -> None:
    """The command line."""
    run_verb("describe", DescribeConfig, work)


if __name__ == "__main__":
    main()
