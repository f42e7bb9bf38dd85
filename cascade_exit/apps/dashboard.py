"""`dashboard`: a saved W&B workspace with the panels that matter."""

import json
from pathlib import Path
from typing import Any

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.config import Call, DashboardConfig
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import UserError, atomic_write_json
from cascade_exit.tracking import LoggerConfig, WorkspaceSpec, make_workspace, wandb_mode, workspace_json

WORKSPACE = "workspace.json"
EXITS = ("exit1", "exit2", "full")


def work(config: DashboardConfig, call: Call) -> Path:
    """Writes the workspace into the run, and saves it where there is an account."""
    online = not config.dry_run and wandb_mode(LoggerConfig()) == "online"
    spec, parents = _spec(config)
    workspace = make_workspace(spec)
    shown = {
        "project": spec.project,
        "group": spec.group or "",
        "exits": ",".join(spec.exits),
        "classes": ",".join(spec.classes),
    }
    with open_call(config, call, shown, parents) as run:
        # Made each time: the account may be there only now, and what W&B keeps may have been changed since.
        path = run.folder / WORKSPACE
        url = json.loads(path.read_text())["url"] if path.exists() else None
        if online:
            url = _save(workspace, url)
        atomic_write_json(path, {"url": url, "view": workspace_json(workspace)})
        if online:
            people().print(f"Saved as {url}", highlight=False)
        else:
            why = "dry run" if config.dry_run else "W&B is offline"
            then = "without dry_run" if config.dry_run else "after `wandb login`"
            people().print(f"Not saved ({why}), written to {path}; the same command {then} saves it.", highlight=False)
    return run.folder


def _spec(config: DashboardConfig) -> tuple[WorkspaceSpec, list[str]]:
    """What to show, and the model that it is known from."""
    logger, parents = LoggerConfig(), []
    exits: tuple[str, ...] = EXITS
    classes: tuple[str, ...] = ()
    if config.run:
        model = TrainedModel.open(config.run, Path(config.runs_root), "cpu")
        logger, exits, classes = model.logger(None), model.detector.exit_names, model.detector.class_map.names
        parents = [model.id]
    return (
        WorkspaceSpec(
            name=config.name,
            project=config.project or logger.project,
            entity=config.entity or "",
            group=logger.group,
            exits=exits,
            classes=classes,
        ),
        parents,
    )


def _save(workspace: Any, url: str | None) -> str:
    """Saves the workspace, in the place of the one at `url` where there is one, and gives its address.

    Raises:
        UserError: W&B refuses or cannot be reached.
    """
    import wandb
    import wandb_workspaces.workspaces as ws

    try:
        workspace.entity = workspace.entity or wandb.Api().default_entity
        if url:
            saved = ws.Workspace.from_url(url)
            for part in ("name", "sections", "settings", "runset_settings"):
                setattr(saved, part, getattr(workspace, part))
            workspace = saved
        return str(workspace.save().url)
    except Exception as error:  # whatever W&B's client raises: it has no class of its own for refusal
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"W&B did not save the workspace ({line}); dashboard dry_run=true only writes it") from error


def main() -> None:
    """The command line."""
    run_verb("dashboard", DashboardConfig, work)


if __name__ == "__main__":
    main()
