"""The record that a run keeps of itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.manifest import Manifest, Times
from cascade_exit.runs.provenance import GitState, Machine


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        verb="train",
        id="0123abcd",
        state="failed",
        command="cascade-exit train seed=2",
        config={"seed": 2, "workers": 4},
        identity={"seed": 2},
        data={"train": "f00"},
        parents=["ffff0000"],
        git=GitState(sha="a" * 40, dirty=True),
        versions={"python": "3.11.1"},
        machine=Machine(host="h", cpu="c", cores=2, memory_gib=3.5, gpus=("g", "g")),
        times=Times(started="2026-11-01T00:00:00+00:00", finished="2026-11-01T00:01:00+00:00", seconds=60.0),
        tries=3,
        metrics={"val/full/AP": 0.25},
        warnings=["w"],
        error="RuntimeError: x",
    )


def test_what_is_written_is_read_back(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    manifest.git, manifest.error = None, None
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_a_metric_that_is_not_finite_is_absent(manifest: Manifest, tmp_path: Path) -> None:
    manifest.metrics = {"val/full/AP": float("nan"), "val/exit1/AP": 0.1}
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path).metrics == {"val/exit1/AP": 0.1}


def test_a_folder_without_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        Manifest.read(tmp_path)


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    "spoil",
    [
        without("identity"),
        without("state"),
        without("git"),
        lambda content: content | {"state": "done"},
        lambda content: content | {"typo": 1},
        lambda content: content | {"times": {}},
        lambda content: content | {"machine": None},
        lambda content: [content],
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(
    manifest: Manifest, tmp_path: Path, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    manifest.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        Manifest.read(tmp_path)
