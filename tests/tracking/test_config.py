"""The logger's config."""

from dataclasses import dataclass

import pytest

from cascade_exit.runs import identity_of
from cascade_exit.tracking import LoggerConfig


@dataclass(frozen=True)
class Config:
    seed: int = 0
    logger: LoggerConfig = LoggerConfig()


def test_the_logger_never_decides_the_result() -> None:
    other = LoggerConfig(name="csv", project="p", group="g", tags=("t",), mode="online")
    assert identity_of(Config(logger=other)) == identity_of(Config()) == {"seed": 0, "logger": {}}


def test_a_project_without_name_is_refused() -> None:
    with pytest.raises(ValueError, match="project must be"):
        LoggerConfig(project="")
