"""`describe`: a data set by role and class, and what each exit of a model costs on it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, DescribeConfig
from cascade_exit.data import ROLES, CocoSet, build_data, load_role
from cascade_exit.model import CascadeDetector, exit_costs
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import UserError, atomic_write_json, plain


def work(config: DescribeConfig, call: Call) -> Path:
    """Prints both tables and writes them to description.json."""
    console = people()
    config = replace(config, data=build_data(config.data, progress=True))
    costs = {
        name: plain(cost) for name, cost in exit_costs(CascadeDetector(config.model, len(config.data.classes))).items()
    }
    console.print(_cost_table(costs))
    sets = _sets(config, console)
    roles = {role: describe_set(images) for role, images in sets.items()}
    console.print(_role_table(roles, config.data.classes))
    with open_call(config, call, {role: images.fingerprint for role, images in sets.items()}) as run:
        if not run.finished:
            run.manifest.metrics.update({"roles": roles, "costs": costs})
            atomic_write_json(run.folder / "description.json", {"roles": roles, "costs": costs})
    return run.folder


def _sets(config: DescribeConfig, console: Console) -> dict[str, CocoSet]:
    """The roles that there are; a set may have only some."""
    sets: dict[str, CocoSet] = {}
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


def describe_set(images: CocoSet) -> dict[str, Any]:
    """Images, negatives, boxes per class, and quartiles of the boxes' size relative to the image."""
    sizes = [
        np.sqrt(np.prod(record.boxes[:, 2:] - record.boxes[:, :2], axis=1) / (record.width * record.height))
        for record in images.records
    ]
    size = np.concatenate(sizes) if sizes else np.zeros(0)
    labels = np.concatenate([record.labels for record in images.records])
    return {
        "images": len(images),
        "negatives": sum(not len(record.labels) for record in images.records),
        "boxes": {name: int((labels == index).sum()) for index, name in enumerate(images.class_map.names, start=1)},
        "relative_size_quartiles": [round(float(q), 3) for q in np.quantile(size, (0.25, 0.5, 0.75))]
        if len(size)
        else [],
    }


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


def _role_table(roles: Mapping[str, Mapping[str, Any]], classes: tuple[str, ...]) -> Table:
    table = Table(title="Data by role", title_justify="left")
    for column in ("role", "images", "without objects", *classes, "size of boxes (quartiles, share of image side)"):
        table.add_column(column, justify="left" if column == "role" else "right")
    for role, facts in roles.items():
        boxes = [str(facts["boxes"][name]) for name in classes]
        quartiles = " / ".join(f"{q:.2f}" for q in facts["relative_size_quartiles"]) or "–"
        table.add_row(role, str(facts["images"]), str(facts["negatives"]), *boxes, quartiles)
    return table


def main() -> None:
    """The command line."""
    run_verb("describe", DescribeConfig, work)


if __name__ == "__main__":
    main()
