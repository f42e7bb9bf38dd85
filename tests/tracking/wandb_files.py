"""What W&B's own reader finds in the files of offline runs."""

import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

WANDB = Path(sys.executable).with_name("wandb")


def tries(run_dir: Path) -> list["Written"]:
    """Every offline folder of a run, oldest first."""
    return [Written(path) for path in sorted(run_dir.glob("wandb/offline-run-*"))]


class Written:
    """One offline folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All records of the .wandb file."""
        return [json.loads(line) for line in self._inspect(*self.folder.glob("*.wandb")).splitlines()]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The run as its end left it: state, exit code, config, tags, summary."""
        return json.loads(self._inspect("--summary", self.folder))

    @property
    def run(self) -> dict[str, Any]:
        """The record that begins the run."""
        return self.of_type("run")[0]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """What define_metric said last of each name or pattern."""
        return {row.get("name") or row["glob_name"]: row for row in self.of_type("metric")}

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        """Those with a name of their own; those of tables are W&B's."""
        return {row["name"]: row for row in self.of_type("artifact") if row["type"] != "run_table"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """Logged rows without W&B's own keys."""
        items = [row["item"] for row in self.of_type("history")]
        return [{key: value for key, value in item.items() if not key.startswith("_")} for item in items]

    def table(self, key: str) -> dict[str, Any]:
        """A table as it would be uploaded: columns, data."""
        (found,) = [row for row in self.of_type("artifact") if row["name"].endswith(f"-{key}")]
        paths = {entry["path"]: Path(entry["local_path"]) for entry in found["manifest"]["contents"]}
        assert all(path.is_file() for path in paths.values())
        return json.loads(paths[f"{key}.table.json"].read_text())

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [row[kind] for row in self.rows if row["type"] == kind]

    @staticmethod
    def _inspect(*words: Any) -> str:
        return subprocess.run(
            [WANDB, "leet", "inspect", "--json", *words], capture_output=True, text=True, check=True
        ).stdout
