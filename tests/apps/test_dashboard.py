"""`dashboard`: the workspace as W&B would keep it, without an account."""

import json
import sys
from types import SimpleNamespace

import pytest

from cascade_exit.runs import UserError
from cascade_exit.tracking import WorkspaceSpec, make_workspace, workspace_json
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb_workspaces")
SPEC = WorkspaceSpec("n", "p", "e", "phase1_chair", ("exit1", "full"), ("chair", "table"))


def sections(view: dict) -> dict[str, list[dict]]:
    return {part["name"]: part["panels"] for part in view["spec"]["section"]["panelBankConfig"]["sections"]}


def keys(panels: list[dict]) -> list[str]:
    return [key for panel in panels for key in panel["config"].get("metrics", [])]


def test_the_panels_that_matter_are_there():
    view = workspace_json(make_workspace(SPEC))
    assert (view["entity"], view["project"], view["displayName"]) == ("e", "p", "n")
    found = sections(view)
    ap = found["Average precision"]
    assert [keys([panel]) for panel in ap[:3]] == [["val/exit1/AP", "val/full/AP"], ["val/exit1/AP"], ["val/full/AP"]]
    assert {"val/exit1/AP", "val/full/AP", "val/mean_AP", "exits/exit1/AP", "exits/full/AP"} <= set(keys(ap))
    assert {panel["config"]["xAxis"] for panel in ap if "xAxis" in panel["config"]} == {"epoch"}
    assert {"policy/exit_rates/exit1", "policy/exit_rates/full", "policy/speedup_latency"} <= set(
        keys(found["Exit rates"])
    )
    assert {"train/loss", "train/exit1/classification", "train/full/localization"} <= set(keys(found["Losses"]))
    assert keys(found["Classes"]) == ["exits/full/per_class/chair", "exits/full/per_class/table"]
    curve = found["Trade-off"][0]["config"]
    assert (curve["panelDefId"], curve["transform"]["name"]) == ("wandb/lineseries/v0", "tableWithLeafColNames")
    assert '"trade_off_table"' in json.dumps(curve["userQuery"])
    for name, table in (("Classes", "per_class"), ("Predictions", "predictions"), ("Trade-off", "operating_points")):
        assert f'"val": "{table}"' in json.dumps(found[name])
    (runs,) = view["spec"]["section"]["runSets"]
    assert runs["filters"]["filters"][0] | {"disabled": False} == {
        "key": {"section": "run", "name": "group"},
        "op": "=",
        "value": "phase1_chair",
        "disabled": False,
    }
    assert {"run:jobType", "summary:exits/full/AP", "summary:policy/speedup_macs"} <= set(
        runs["runFeed"]["columnPinned"]
    )


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_without_an_account_it_is_written_and_the_way_on_is_named(cli, tmp_path, no_account):
    chair = REPOSITORY / "models" / "chair"
    answer = cli("dashboard", f"run={chair}", "project=q", f"runs_root={tmp_path}")
    assert answer.code == 0, answer.err
    path = answer.run / "workspace.json"
    assert answer.errors == [
        f"Not saved (W&B is offline), written to {path}; the same command after `wandb login` saves it."
    ]
    kept = json.loads(path.read_text())
    assert (kept["url"], kept["view"]["project"]) == (None, "q")
    assert keys(sections(kept["view"])["Classes"]) == ["exits/full/per_class/chair"]
    assert "dry run" in cli("dashboard", f"run={chair}", "project=q", f"runs_root={tmp_path}", "dry_run=true").err


def test_with_an_account_it_is_saved_and_later_saved_in_its_place(cli, tmp_path, no_account, monkeypatch):
    import wandb
    import wandb_workspaces.workspaces as ws

    saved, loaded = [], []

    def save(self: ws.Workspace) -> SimpleNamespace:
        saved.append(self)
        return SimpleNamespace(url="https://wandb.example/e/p?nw=1")

    def from_url(url: str) -> ws.Workspace:
        loaded.append(url)
        return ws.Workspace(entity="e", project="p", name="changed by hand")

    monkeypatch.setenv("WANDB_API_KEY", "k")
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(default_entity="e"))
    monkeypatch.setattr(ws.Workspace, "save", save)
    monkeypatch.setattr(ws.Workspace, "from_url", staticmethod(from_url))
    first = cli("dashboard", f"runs_root={tmp_path}")
    assert first.errors == ["Saved as https://wandb.example/e/p?nw=1"]
    assert (saved[0].entity, loaded) == ("e", [])
    second = cli("dashboard", f"runs_root={tmp_path}")
    assert (second.run, loaded) == (first.run, ["https://wandb.example/e/p?nw=1"])
    assert (saved[1].name, len(saved[1].sections)) == ("cascade_exit", len(saved[0].sections))

    def refused(self: ws.Workspace) -> None:
        raise ConnectionError("no network\nmore")

    monkeypatch.setattr(ws.Workspace, "save", refused)
    answer = cli("dashboard", f"runs_root={tmp_path}", "name=other")
    assert (answer.code, answer.errors) == (
        1,
        ["W&B did not save the workspace (no network); dashboard dry_run=true only writes it"],
    )


def test_without_the_extra_the_way_on_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'cascade_exit\[dashboard\]'"):
        make_workspace(SPEC)
