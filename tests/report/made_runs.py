"""Runs on disk as the verbs leave them, with numbers of our choosing, and a reader of the page that shows them."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cascade_exit.runs import GitState, Machine, Manifest, Times

EXITS = ("exit1", "exit2", "full")
SET = {"val": "a" * 64, "calibrate": "b" * 64, "test": "c" * 64}


def make_run(root: Path, verb: str, run_id: str, **facts: Any) -> Path:
    """A run's folder with its manifest; `facts` replace fields of the manifest."""
    folder = root / verb / f"made-{run_id}"
    folder.mkdir(parents=True)
    identity = facts.pop("identity", {})
    fields: dict[str, Any] = {
        "state": "finished",
        "command": f"cascade-exit {verb}",
        "config": identity | {"workers": 0, "runs_root": str(root)},
        "identity": identity,
        "data": {},
        "parents": [],
        "git": GitState("1234567890abcdef" * 2, False),
        "versions": {"torch": "2.15.0"},
        "machine": Machine("box", "a processor", 2, 24.0, ()),
        "times": Times("2026-11-01T10:00:00+00:00", "2026-11-01T10:10:00+00:00", 600.0),
    }
    Manifest(verb=verb, id=run_id, **(fields | facts)).write(folder)
    return folder


def put(folder: Path, name: str, content: Any) -> None:
    """A JSON file of a run."""
    (folder / name).write_text(json.dumps(content))


def train_run(root: Path, run_id: str, seed: int, aps: dict[str, float], epochs: int = 3, **facts: Any) -> Path:
    """A finished training with a record."""
    settings = {"seed": seed, "model": {"exits": {"exit1": {"channels": facts.pop("channels", 64)}}}}
    command = facts.pop("command", f"cascade-exit train experiment=toy seed={seed}")
    data = {"train": "d" * 64, "val": SET["val"]}
    folder = make_run(root, "train", run_id, identity=settings, command=command, data=data, **facts)
    put(folder, "metrics.json", measured("val", aps))
    rows = [
        {"epoch": epoch, "step": 10 * (epoch + 1)}
        | {f"val/{name}/AP": ap * (epoch + 1) / epochs for name, ap in aps.items()}
        | {"train/full/classification": 3.0 - epoch, "train/full/localization": 0.25 * epoch, "train/distill": 7.0}
        for epoch in range(epochs)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def measured(role: str, aps: dict[str, float]) -> dict[str, Any]:
    """What metrics.json holds without a policy."""
    exits = {
        name: {
            "AP": ap,
            "AP50": ap * 1.875,
            "per_class": {"chair": ap * 1.125, "tv": ap * 0.875},
            "macs": 100_000_003 * (place + 1),
            "parameters": 1_234_567 * (place + 1),
        }
        for place, (name, ap) in enumerate(aps.items())
    }
    return {
        "images": 40,
        "boxes": 61,
        "data": {"fingerprint": SET[role], "annotations": f"{role}.json"},
        "exits": exits,
    }


def evaluate_run(root: Path, run_id: str, model: str, aps: dict[str, float], **facts: Any) -> Path:
    """A finished evaluation with a policy against a baseline."""
    data = {"test": SET["test"], "model": f"model of {model}", "policy": "f" * 16}
    identity = {"role": "test", "bootstrap": 100}
    facts = {"parents": [model], "identity": identity, "data": data} | facts
    folder = make_run(root, "evaluate", run_id, **facts)
    policy = {
        "name": "certainty",
        "AP": 0.31415,
        "AP50": 0.52,
        "relative_ap_drop": 0.0412,
        "exit_rates": {"exit1": 0.3125, "exit2": 0.125, "full": 0.5625},
        "macs": 203_000_000.5,
        "speedup_macs": 1.9087,
    }
    more = {
        "policy": policy,
        "baseline": {"run": "models/still", "AP": 0.3277, "macs": 299_000_000},
        "bounds": {"random_AP": 0.2871, "oracle_AP": 0.3712},
        "intervals": {"policy.relative_ap_drop": [0.021, 0.068], "exits.full.AP": [0.2011, 0.4099]},
        "by": {
            "objects": {
                "0": {"images": 7, "exit1": {}, "full": {}, "policy": {}, "exit_rates": {"exit1": 0.75, "full": 0.25}},
                "5+": {
                    "images": 1033,
                    "exit1": {"AP50": 0.1234},
                    "full": {"AP50": 0.4321},
                    "policy": {"AP50": 0.3987},
                    "exit_rates": {"exit1": 0.031, "full": 0.969},
                    "relative_ap_drop": 0.0771,
                    "intervals": {"relative_ap_drop": [-0.011, 0.125]},
                },
            }
        },
    }
    put(folder, "metrics.json", measured("test", aps) | more)
    return folder


def tune_run(root: Path, run_id: str, model: str) -> Path:
    """A finished tuning of two families."""

    def point(cost: float, ap: float) -> dict[str, Any]:
        return {"mean_cost": cost, "ap": ap, "exit_rates": {"exit1": 0.5, "full": 0.5}, "speedup": 1.5}

    folder = make_run(
        root, "tune", run_id, parents=[model], data={"calibrate": SET["calibrate"]}, identity={"family": "auto"}
    )
    manifest = Manifest.read(folder)
    manifest.metrics["policy"] = {
        "AP": 0.2817,
        "relative_ap_drop": -0.0123,
        "speedup_macs": 1.7321,
        "exit_rates": {"exit1": 0.5, "full": 0.5},
    }
    manifest.write(folder)
    tuning = {
        "images": 30,
        "cost": {
            "unit": "MACs",
            "by_exit": {"exit1": 1e8, "full": 3e8},
            "statics": [{"name": "models/still", "ap": 0.22, "cost": 2.5e8}],
        },
        "chosen": "router",
        "families": {
            "router": {"point": point(2e8, 0.2817), "front": [point(1e8, 0.11), point(2e8, 0.2817)]},
            "max_score": {"point": point(3e8, 0.3), "front": [point(3e8, 0.3)]},
        },
        "references": {
            "alone": {"exit1": point(1e8, 0.11), "full": point(3e8, 0.3)},
            "random": {"mean_costs": [1e8, 3e8], "aps": [0.11, 0.3]},
            "oracle": {"mean_costs": [1e8, 2e8], "aps": [0.11, 0.35]},
        },
    }
    put(folder, "tuning.json", tuning)
    return folder


def paint(path: Path, size_px: tuple[int, int], seed: int = 0) -> None:
    """A picture that hardly compresses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size_px[1], size_px[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@dataclass
class Page(HTMLParser):
    """What a browser would find in a page.

    Attributes:
        numbers: exact values by key and run, from the tables.
        figures: charts by title.
        sections: ids.
        pictures: `data:` addresses.
        attributes: of all elements, as (element, name, value).
        scripts: texts of scripts that run.
        text: everything that is read.
        rows: cells of all table rows, as text.
    """

    numbers: dict[tuple[str, str], float] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._title, self._kind = "", ""

    @classmethod
    def of(cls, text: str) -> "Page":
        """Reads a page."""
        page = cls()
        page.feed(text)
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if tag not in ("meta", "link", "img", "br", "wbr"):
            self._open.append(tag)
        match tag:
            case "data":
                path, run, value = re.fullmatch(r"(.*) of (.*): (.*)", found["title"]).groups()
                assert value == found["value"]
                self.numbers[path, run] = float(value)
            case "section":
                self.sections.append(found["id"])
            case "img":
                self.pictures.append(found["src"])
            case "script":
                self._kind = found.get("type", "")
            case "tr":
                self.rows.append([])
            case "td" | "th":
                self.rows[-1].append("")
            case "h3":
                self._title = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script" and self._kind == "application/json":
            self.figures[self._title] = json.loads(data)
            return
        if inside == "script":
            self.scripts.append(data)
            return
        if inside == "style":
            return
        if inside == "h3":
            self._title += data
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data.strip() + " "
        self.text += data

    def row(self, head: str, place: int = 0) -> list[str]:
        """Cells of the row (the first unless told) whose head begins so."""
        found = [[cell.strip() for cell in row] for row in self.rows if row and row[0].strip().startswith(head)]
        return found[place]
