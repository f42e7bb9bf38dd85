"""A random cascade that needs no training with its set, and a place for runs."""

from pathlib import Path

import pytest

from tests.apps.blotches import Blotches, make


@pytest.fixture(scope="session")
def blotches(tmp_path_factory) -> Blotches:
    return make(tmp_path_factory.mktemp("blotches"))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")
