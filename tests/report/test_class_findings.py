"""Sentences, table and charts of classes say what metrics.json says, and claim no more."""

import json
from pathlib import Path
from typing import Any

import pytest

from cascade_exit.report.page import read_reported, render_page
from tests.report.made_runs import EXITS, Page, evaluate_run, put

APS = dict(zip(EXITS, (0.11, 0.22, 0.33), strict=True))


def of_class(boxes: int, early: float, drop: float, gains: tuple[float, float], few: bool = False) -> dict[str, Any]:
    return {
        "boxes": boxes,
        "images": boxes // 2,
        "few": few,
        "exits": {name: {"AP": ap, "AP50": ap} for name, ap in APS.items()},
        "gain": dict(zip(("exit1", "exit2"), gains, strict=True)),
        "policy": {"AP": 0.3, "AP50": 0.5},
        "drop": {"full": drop},
        "exit_rates": {"exit1": early / 2, "exit2": early / 2, "full": 1 - early},
        "early": early,
        "gain_where_left": {"exit1": 0.0123},
        "intervals": {"early": [early - 0.05, early + 0.05], "drop.full": [drop - 0.01, drop + 0.02]},
    }


CLASSES = {
    "laptop": of_class(90, 0.83, 0.002, (0.05, 0.001)),
    "person": of_class(400, 0.31, 0.071, (0.21, 0.04)),
    "dog": of_class(80, 0.55, 0.012, (0.01, -0.02)),
    "couch": of_class(12, 0.95, 0.4, (0.3, 0.2), few=True),
}
CLAIMS = {
    "early": {"average": 0.5, "above": ["laptop"], "below": ["person"]},
    "gain": {
        "exit1": {"above": ["person", "laptop"], "below": []},
        "exit2": {"above": ["person"], "below": ["dog"]},
    },
    "drop": {"above": ["person"], "below": []},
}
SPREAD = {"classes": 3, "mean": 0.028, "std": 0.037, "std_by_chance": 0.04, "min": 0.002, "max": 0.071}
SPREAD |= {"quartile1": 0.007, "median": 0.012, "quartile3": 0.0415}
THRESHOLDS = {
    "limit": 0.03,
    "exits": {
        "exit1": {"shared": 0.41, "strength": 30.0, "shrunk": {"laptop": 0.38, "person": 0.52}},
        "exit2": {"shared": 0.47, "shrunk": {"laptop": 0.47, "person": 0.47}},
    },
    "differences": {
        "own": {
            "AP": -0.011,
            "speedup_macs": 0.02,
            "intervals": {"AP": [-0.02, -0.004], "speedup_macs": [-0.01, 0.03]},
            "verdict": "harms",
        },
        "shrunk": {
            "AP": 0.001,
            "speedup_macs": 0.0,
            "intervals": {"AP": [-0.002, 0.004], "speedup_macs": [-0.01, 0.01]},
            "verdict": "not told apart",
        },
    },
}
ANALYSIS = {"classes": CLASSES, "class_claims": CLAIMS, "class_drop": {"full": SPREAD}, "class_thresholds": THRESHOLDS}


def made(root: Path, analysis: dict[str, Any]) -> tuple[dict[str, Any], Page]:
    folder = evaluate_run(root, "44444444", "11111111", APS)
    metrics = json.loads((folder / "metrics.json").read_text()) | analysis
    put(folder, "metrics.json", metrics)
    return metrics, Page.of(render_page([read_reported(folder)], root, 0, "made by a test"))


@pytest.fixture(scope="module")
def answered(tmp_path_factory) -> tuple[dict[str, Any], Page]:
    return made(tmp_path_factory.mktemp("runs"), ANALYSIS)


def test_the_plan_s_questions_are_answered_from_the_claims(answered):
    text = answered[1].text
    for sentence in (
        "Of the images that hold an object, 50.0 % leave early.",
        "do so more often, beyond chance: laptop 83.0 % (78.0 % to 88.0 %).",
        "Images with these less often, beyond chance: person 31.0 % (26.0 % to 36.0 %).",
        "Cannot be told apart from the average with these 40 images: dog 55.0 % (50.0 % to 60.0 %).",
        "Too few to claim anything of: couch (12 boxes).",
        "Beyond exit1, going on to full gains AP, beyond chance, for person 0.210, laptop 0.050.",
        "Full is worse than exit2, beyond chance, for dog −0.020.",
        "Whether full is better than exit2 cannot be told with these 40 images: laptop 0.001.",
        "The policy loses AP against full, beyond chance, for person 7.1 % (6.1 % to 9.1 %).",
        "Relative drops of 3 classes lie between 0.2 % and 7.1 %",
        "So the spread is no more than chance makes.",
        "do not know classes apart",
    ):
        assert sentence in text
    assert "couch 95" not in text  # of a rare class nothing is claimed, however extreme


def test_thresholds_are_judged_on_unseen_images(answered):
    text = answered[1].text
    assert "thresholds of each class's own harm: against one for all" in text
    assert "AP −0.011 (−0.020 to −0.004) and speedup in MACs 0.02x (−0.01x to 0.03x)" in text
    assert "shrunk where a class is rare cannot be told apart from one for all" in text
    assert "exit1: one threshold for all would be 0.41; per class person 0.52, laptop 0.38." in text
    assert "exit2: one threshold for all would be 0.47, and cross-validation prefers it" in text


def test_numbers_of_the_table_lead_back(answered):
    metrics, page = answered
    shown = {path: value for (path, _), value in page.numbers.items() if path.startswith("classes.")}
    for path, value in shown.items():
        found: Any = metrics
        for part in path.split("."):
            found = found[part]
        assert value == found
    keys = ("exits.full.AP", "policy.AP", "drop.full", "early", "gain_where_left.exit1")
    assert {f"classes.{name}.{key}" for name in CLASSES for key in keys} < shown.keys()
    assert page.row("couch")[1] == "12 too few for a claim"


def test_charts_have_a_line_per_class_those_that_leave_early_on_top(answered):
    figures = {title.split(":")[0]: figure for title, figure in answered[1].figures.items()}
    leaving = figures["Where images with a class leave"]["data"]
    assert [bar["name"] for bar in leaving] == list(EXITS)
    assert leaving[0]["y"] == ["couch *", "laptop", "dog", "person"]
    assert leaving[0]["x"] == [0.475, 0.415, 0.275, 0.155]
    (costs,) = figures["What the policy costs"]["data"]
    assert costs["x"] == [0.4, 0.002, 0.012, 0.071]
    assert costs["error_x"]["array"] == pytest.approx([0.02] * 4)
    assert costs["marker"]["symbol"][:2] == ["circle-open", "circle"]
    gains = figures["AP gained by going on to full"]["data"]
    assert [curve["x"] for curve in gains] == [[0.3, 0.05, 0.01, 0.21], [0.2, 0.001, -0.02, 0.04]]


def test_a_transferred_policy_and_its_class_thresholds_are_named(tmp_path):
    metrics, _ = made(tmp_path / "own", {})
    policy = metrics["policy"] | {"tuned_for": "model f00 with the classes cat"}
    classes = {name: found | {"threshold": {"exit1": found["early"]}} for name, found in CLASSES.items()}
    _, page = made(tmp_path / "other", {"policy": policy, "classes": classes, "class_claims": CLAIMS})
    assert "The policy was tuned for model f00 with the classes cat, and is applied unchanged." in page.text
    assert "stops at exit1 where each of the best boxes has its class's score: couch 0.95, laptop 0.83" in page.text
    assert "was not measured (evaluate with crossfit=true)" in page.text


def test_without_a_policy_only_exits_are_compared(tmp_path):
    _, page = made(tmp_path, {"class_claims": {"gain": CLAIMS["gain"]}, "classes": CLASSES})
    assert "Which need the full model?" in page.text
    assert "Which classes exit early?" not in page.text
