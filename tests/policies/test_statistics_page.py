"""docs/statistics.md: the functions and the line of config that it shows work as they stand there."""

import re

import pytest
import torch
import yaml

from cascade_exit.policies import statistics
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.rules import ThresholdRule, rule_stops
from cascade_exit.policies.statistics import COMPARISONS, STATISTICS
from cascade_exit.runs import build
from tests.conftest import REPOSITORY

from .test_overlaps import random_digest
from .test_statistics import digest_of, registry

__all__ = ["registry"]
PAGE = (REPOSITORY / "docs" / "statistics.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_statistic_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(STATISTICS)


@pytest.mark.usefixtures("registry")
def test_a_statistic_is_one_function_and_one_line_of_config() -> None:
    function, line = blocks("python")[0], blocks("yaml")[0].strip()
    assert "\n" not in line
    # The function sees what stands in the file that the page names.
    exec(function, dict(vars(statistics)))
    rule = build(ThresholdRule, yaml.safe_load(line))
    ahead, close = digest_of(0.9, 0.2), digest_of(0.9, 0.8)
    assert rule.values(ahead, None).tolist() == pytest.approx([0.7], abs=1e-5)
    assert rule_stops(rule, ahead, None).item()
    assert not rule_stops(rule, close, None).item()


@pytest.mark.usefixtures("registry")
def test_a_comparison_is_one_function() -> None:
    exec(blocks("python")[1], dict(vars(statistics)))
    rule = ThresholdRule("steadiness", -0.1)
    digest = random_digest(0)
    assert torch.equal(rule.values(digest, digest), torch.zeros(3))
    assert "steadiness" in COMPARISONS
    with pytest.raises(ValueError, match="there is none"):
        Policy("m", ("chair",), {"exit1": rule})
