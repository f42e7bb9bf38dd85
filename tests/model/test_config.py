import json

import pytest
import torch
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

from cascade_exit.model import BackboneConfig, ExitConfig, FullConfig, ModelConfig
from cascade_exit.runs import build, to_plain

from .networks import TABLE_075

CHAIN = {
    "exit1": ExitConfig(8),
    "exit2": ExitConfig(14, context="features", refinement="residual"),
    "exit3": ExitConfig(15, context="logits", attention="cbam"),
}


def changed_row(index: int, place: int, value: object) -> tuple:
    rows = [list(row) for row in TABLE_075]
    rows[index][place] = value
    return tuple(tuple(row) for row in rows)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (BackboneConfig, {"width": 0.05}, "width must be between 0.1 and 4, got 0.05"),
        (BackboneConfig, {"width": float("nan")}, "width must be between"),
        (BackboneConfig, {"table": TABLE_075, "width": 0.75}, "width must stay 1.0"),
        (BackboneConfig, {"table": TABLE_075, "reduced_tail": True}, "reduced_tail must be false"),
        (BackboneConfig, {"table": ()}, r"table must have four rows of stride 2, all others 1, got \[\]"),
        (BackboneConfig, {"table": TABLE_075[:12]}, "table must have four rows of stride 2"),
        (BackboneConfig, {"table": changed_row(6, 6, 1)}, "table must have four rows of stride 2"),
        (BackboneConfig, {"table": changed_row(2, 6, 3)}, "table must have four rows of stride 2"),
        (BackboneConfig, {"table": changed_row(4, 2, 100)}, "table.4 must have channels that are multiples of 8"),
        (BackboneConfig, {"table": changed_row(14, 3, 0)}, "table.14 must have channels that are multiples of 8"),
        (BackboneConfig, {"table": changed_row(4, 1, 4)}, "table.4 must have an odd kernel, got 4"),
        (BackboneConfig, {"table": changed_row(3, 3, 40)}, "table.4 must take the 40 channels before it, got 32"),
        (BackboneConfig, {"table": changed_row(12, 2, 88)}, "table.12 must expand its input"),
        (ExitConfig, {"after": 8, "channels": 100}, "channels must be a multiple of 8, got 100"),
        (ExitConfig, {"after": 8, "channels": 0}, "channels must be a multiple of 8, got 0"),
        (ExitConfig, {"after": 8, "depth": 0}, "depth must be between 1 and 8, got 0"),
        (ExitConfig, {"after": 8, "kernel": 4}, "kernel must be 1, 3, 5 or 7, got 4"),
        (ExitConfig, {"after": 8, "coarse_depth": -1}, "coarse_depth must be between 0 and 8, got -1"),
        (ExitConfig, {"after": 8, "coarse_depth": 1, "pyramid": False}, "coarse_depth must be 0 without a pyramid"),
        (ModelConfig, {"exits": {"exit2": ExitConfig(8)}}, "exits must be named exit1 in this order, got exit2"),
        (
            ModelConfig,
            {"exits": {"exit2": ExitConfig(8), "exit1": ExitConfig(9)}},
            "exits must be named exit1, exit2 in this order, got exit2, exit1",
        ),
        (ModelConfig, {"exits": {"exit1": ExitConfig(9), "exit2": ExitConfig(9)}}, r"'after' must rise, got \[9, 9\]"),
        (ModelConfig, {"exits": {"exit1": ExitConfig(16)}}, "exits.exit1.after must be between 1 and 15, got 16"),
        (ModelConfig, {"exits": {"exit1": ExitConfig(0)}}, "exits.exit1.after must be between 1 and 15, got 0"),
        (ModelConfig, {"exits": {"exit1": ExitConfig(1)}}, "exits.exit1.after must stand on a map of stride 4 or more"),
        (
            ModelConfig,
            {"backbone": BackboneConfig("mobilenet_v3_small"), "exits": {"exit1": ExitConfig(14)}},
            "exits.exit1.after must be between 1 and 11, got 14",
        ),
        (ModelConfig, {"exits": {"exit1": ExitConfig(8, context="logits")}}, "exits.exit1.context must be none"),
        (
            ModelConfig,
            {"exits": {"exit1": ExitConfig(8, refinement="residual")}},
            "exits.exit1.refinement must be fresh",
        ),
        (
            ModelConfig,
            {"full": FullConfig(context="features")},
            "full.context must be none: there is no exit before it",
        ),
        (ModelConfig, {"full": FullConfig(refinement="residual")}, "full.refinement must be fresh: there is no exit"),
        (ModelConfig, {"full": FullConfig(refinement="averaged")}, "full.refinement must be fresh: there is no exit"),
        (
            ModelConfig,
            {"exits": {"exit1": ExitConfig(8, pyramid=False)}, "full": FullConfig(refinement="residual")},
            "full.refinement must be fresh: exit1 has no pyramid",
        ),
        (
            ModelConfig,
            {"exits": {"exit1": ExitConfig(14, pyramid=False), "exit2": ExitConfig(15, context="logits")}},
            "exits.exit2.context must not be logits: exit1 does not answer at the finest anchors",
        ),
        (ModelConfig, {"anchor_scales": (0.1, 0.2)}, "anchor_scales must hold 7 numbers, got 2"),
        (ModelConfig, {"anchor_scales": (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}, r"anchor_scales must lie in \(0, 2\]"),
    ],
)
def test_refuses_with_a_line_that_names_the_key(kind, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        kind(**settings)
    assert "\n" not in str(caught.value)


def test_exits_run_from_shallow_to_full():
    assert ModelConfig().exit_names == ("full",)
    assert ModelConfig(exits=CHAIN).exit_names == ("exit1", "exit2", "exit3", "full")


def test_a_residual_exit_without_pyramid_still_answers_everywhere():
    exits = {"exit1": ExitConfig(8), "exit2": ExitConfig(14, pyramid=False, refinement="residual")}
    ModelConfig(exits=exits, full=FullConfig(context="logits", refinement="residual"))


def test_survives_json():
    config = ModelConfig(
        backbone=BackboneConfig(table=TABLE_075),
        exits=CHAIN,
        full=FullConfig(refinement="residual"),
        anchor_scales=(0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0),
    )
    assert build(ModelConfig, json.loads(json.dumps(to_plain(config)))) == config


@pytest.mark.parametrize(
    ("config", "features"),
    [
        (BackboneConfig(), mobilenet_v3_large().features),
        (BackboneConfig(reduced_tail=True), mobilenet_v3_large(reduced_tail=True).features),
        (BackboneConfig("mobilenet_v3_small", width=0.5), mobilenet_v3_small(width_mult=0.5).features),
    ],
)
def test_strides_are_those_of_the_maps(config, features):
    x, strides = torch.zeros(1, 3, 64, 64), []
    features.eval()
    with torch.no_grad():
        for block in features:
            x = block(x)
            strides.append(64 // x.shape[-1])
    assert config.strides_px == tuple(strides)
