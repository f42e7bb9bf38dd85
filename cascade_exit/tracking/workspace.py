"""The saved W&B workspace: the panels that matter, by the names that runs log."""

from dataclasses import dataclass
from typing import Any

from cascade_exit.runs import UserError
from cascade_exit.tracking.wandb_run import STEP_KEY


@dataclass(frozen=True)
class WorkspaceSpec:
    """What a workspace shows.

    Attributes:
        name: Of the saved view.
        project: W&B project.
        entity: User or team that owns it; "" where none is known.
        group: Only runs of this group; None: all.
        exits: From shallow to deep.
        classes: With a bar each; none: the table alone.
    """

    name: str
    project: str
    entity: str
    group: str | None
    exits: tuple[str, ...]
    classes: tuple[str, ...] = ()


def make_workspace(spec: WorkspaceSpec) -> Any:
    """Build the workspace, without an account or network; its ``save`` needs both.

    Raises:
        UserError: When wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError("wandb-workspaces is not installed: pip install 'cascade_exit[dashboard]'") from error
    open_at_first = ("Average precision", "Trade-off", "Exit rates")
    columns = ["jobType", "group", "tags", "state"]
    figures = [f"exits/{name}/AP" for name in spec.exits]
    figures += ["policy/AP", "policy/relative_ap_drop", "policy/speedup_macs", "policy/speedup_latency"]
    return ws.Workspace(
        name=spec.name,
        entity=spec.entity,
        project=spec.project,
        sections=[
            ws.Section(name=name, panels=panels, is_open=name in open_at_first)
            for name, panels in _panels(spec).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP_KEY, max_runs=20),
        runset_settings=ws.RunsetSettings(
            filters=f"Group = '{spec.group}'" if spec.group else "",
            pinned_columns=[f"run:{key}" for key in columns] + [f"summary:{key}" for key in figures],
        ),
        auto_generate_panels=False,
    )


def workspace_json(workspace: Any) -> dict[str, Any]:
    """The workspace as W&B would keep it."""
    return workspace._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)


def _panels(spec: WorkspaceSpec) -> dict[str, list[Any]]:
    """Panels by the section that they are in."""
    import wandb_workspaces.reports.v2 as wr

    exits = spec.exits

    def over_epochs(title: str, *keys: str) -> Any:
        return wr.LinePlot(title=title, x="epoch", y=list(keys))

    def over_steps(title: str, *keys: str) -> Any:
        return wr.LinePlot(title=title, x=STEP_KEY, y=list(keys))

    def bars(title: str, *keys: str) -> Any:
        return wr.BarPlot(title=title, metrics=list(keys), orientation="v")

    def of_exits(pattern: str) -> list[str]:
        return [pattern.format(name) for name in exits]

    curve = wr.CustomChart(
        query={"summaryTable": {"tableKey": "trade_off_table"}},
        chart_name="wandb/lineseries/v0",
        chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
        chart_strings={"title": "AP over mean cost", "xname": "mean cost of an image"},
    )
    points = wr.ScatterPlot(
        title="policies: AP over speedup",
        x=wr.SummaryMetric("policy/speedup_macs"),
        y=wr.SummaryMetric("policy/AP"),
    )
    return {
        "Average precision": [
            over_epochs("AP, all exits (val)", *of_exits("val/{}/AP")),
            *(over_epochs(f"AP of {name} (val)", f"val/{name}/AP") for name in exits),
            over_epochs("mean AP, which chooses the checkpoint (val)", "val/mean_AP"),
            bars("AP of the exits, at the end of each phase", *of_exits("exits/{}/AP")),
        ],
        "Trade-off": [curve, points, _table("operating_points")],
        "Exit rates": [
            bars("share that leaves at each exit", *of_exits("policy/exit_rates/{}")),
            bars("speedup", "policy/speedup_macs", "policy/speedup_latency"),
            bars("relative AP drop", "policy/relative_ap_drop"),
            bars("bounds at the same cost", "bounds/random_AP", "policy/AP", "bounds/oracle_AP"),
        ],
        "Losses": [
            over_steps("loss", "train/loss"),
            over_steps("classification", *of_exits("train/{}/classification")),
            over_steps("localization", *of_exits("train/{}/localization")),
            wr.LinePlot(title="learning rate", x=STEP_KEY, metric_regex="lr-.*"),
        ],
        "Classes": [
            _table("per_class"),
            *([bars(f"AP of {exits[-1]} by class", *_by_class(spec))] if spec.classes else []),
        ],
        "Confidence and calibration": [
            over_epochs("mean confidence", *of_exits("val/{}/mean_confidence")),
            over_epochs("ECE", *of_exits("val/{}/ece")),
            over_epochs("NLL", *of_exits("val/{}/nll")),
            wr.MediaBrowser(title="confidence", media_keys=["val/confidence"], num_columns=1),
        ],
        "Predictions": [
            _table("predictions"),
            wr.MediaBrowser(title="what each exit sees", media_keys=["val/exits"], num_columns=1),
        ],
        "Runs": [wr.RunComparer(diff_only="split")],
    }


def _by_class(spec: WorkspaceSpec) -> list[str]:
    return [f"exits/{spec.exits[-1]}/per_class/{name}" for name in spec.classes]


def _table(key: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return wr.WeavePanelSummaryTable(table_name=key, layout=wr.Layout(w=24, h=12))
