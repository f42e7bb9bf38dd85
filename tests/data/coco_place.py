"""A set that is made from a small COCO on a local server."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cascade_exit.data import ROLES, DataConfig
from cascade_exit.data.coco_subset import DownloadConfig, RoleShares, SubsetConfig, build_subset

from .web import ARCHIVE, Web, publish

SETTINGS: dict[str, Any] = {
    "classes": ("chair", "dog"),
    "images_per_class": 20,
    "negatives": 0.25,
    "shares": RoleShares(train=0.45, val=0.15, calibrate=0.2, test=0.2),
}


class Place:
    """Where a set is made and from what."""

    def __init__(self, folder: Path, web: Web) -> None:
        self.web, self.root, self.downloads = web, folder / "set", folder / "downloads"
        self.coco = publish(web)
        download = DownloadConfig(annotations_url=web.url + ARCHIVE, parallel=4, attempts=3, timeout_s=5.0)
        self.config = SubsetConfig(**SETTINGS, downloads=str(self.downloads), download=download)

    def build(self, verify: bool = False, **more: Any) -> None:
        build_subset(self.root, replace(self.config, **more), verify)

    def data(self, **more: Any) -> DataConfig:
        values = {"name": "coco_subset", "root": str(self.root), "classes": self.config.classes, "subset": self.config}
        return DataConfig(**{**values, **more})

    def role(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.root / "annotations" / f"{name}.json").read_text())
        return content

    @property
    def record(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.root / "build.json").read_text())
        return content

    @property
    def addresses(self) -> set[str]:
        """Paths of the images of the set."""
        entries = [entry for role in ROLES for entry in self.role(role)["images"]]
        return {entry["coco_url"].removeprefix(self.web.url) for entry in entries}

    def fetched(self) -> list[str]:
        """Paths of images that were asked for since this was last called."""
        asked = [path for path, _ in self.web.requests if path.endswith(".jpg")]
        self.web.requests.clear()
        return sorted(asked)

    def assert_whole(self) -> None:
        """Every image of the set is there as published, and nothing else."""
        files = {f"/{path.relative_to(self.downloads)}": path for path in self.downloads.rglob("*.jpg*")}
        assert files.keys() == self.addresses
        assert all(path.read_bytes() == self.web.files[name] for name, path in files.items())
        assert self.record["finished"]
