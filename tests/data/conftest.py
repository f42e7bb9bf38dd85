from collections.abc import Iterator
from pathlib import Path

import pytest

from cascade_exit.data.coco_subset import build as build_module
from cascade_exit.data.coco_subset.fetch import Fetcher

from .coco_place import Place
from .web import Web, serve


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # No pauses: the servers of these tests recover at once.
    monkeypatch.setattr(build_module, "Fetcher", lambda config: Fetcher(config, lambda _: None))
    with serve() as web:
        yield web


@pytest.fixture
def place(tmp_path: Path, web: Web) -> Place:
    return Place(tmp_path, web)
