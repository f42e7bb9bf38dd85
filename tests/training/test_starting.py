"""Each network of a model with looks starts from its own source."""

import re
from dataclasses import replace

import pytest
import torch

from cascade_exit.config import TrainConfig
from cascade_exit.data import ClassMap, InputConfig, shrink_images
from cascade_exit.model import CascadeDetector, DecodingConfig, FullConfig, LookConfig, ModelConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import SchemaError, UserError, build
from cascade_exit.runtime import write_kept_model
from cascade_exit.training import check_untrained, find_start
from tests.model.networks import CLASSES, LOOK_PX, LOOKS, NARROW, SIZE_PX, detector, photos, same

NAMES = ("chair", "tv")
MODEL = ModelConfig(InputConfig(SIZE_PX), NARROW, looks=LOOKS)


def keep(folder, network: CascadeDetector) -> str:
    """Keeps a network, with 32 bit weights that 16 bit can hold."""
    state = {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    write_kept_model(folder, Checkpoint(network.config, ClassMap(NAMES), DecodingConfig(), state), {})
    return str(folder)


@pytest.fixture
def small(tmp_path):
    network = detector({}, size_px=LOOK_PX, seed=1)
    return keep(tmp_path / "small", network), network


@pytest.fixture
def large(tmp_path):
    network = detector({}, seed=2)
    return keep(tmp_path / "large", network), network


def started(sources, root, model=MODEL, names=NAMES):
    network = CascadeDetector(model, CLASSES).eval()
    start = find_start("init", sources, model, root)
    return start, start.load_into(network, names), network


def test_weights_of_other_classes_are_not_kept_untrained(small, large, tmp_path):
    sources = {"exit1": small[0], "full": large[0]}
    start, report, _ = started(sources, tmp_path, names=("tv", "chair"))
    assert report.complete  # the same classes in another order: rows are moved
    start, report, _ = started(sources, tmp_path, names=("chair", "cup"))
    with pytest.raises(UserError, match="must be complete"):
        check_untrained(start, report, MODEL)


def test_two_static_detectors_make_two_looks(small, large, tmp_path):
    start, report, network = started({"exit1": small[0], "full": large[0]}, tmp_path)
    images = photos()
    outputs = network(images)
    assert same(outputs["exit1"], small[1](shrink_images(images, LOOK_PX))["full"])
    assert same(outputs["full"], large[1](images)["full"])
    assert report.complete
    check_untrained(start, report, MODEL)
    tensors = len(small[1].state_dict())
    taken = f"{tensors} tensors taken over, 0 of another shape, 0 missing, 0 unused"
    assert report.sources == f"{small[0]} (exit1), {large[0]} (full)"
    assert report.summary() == f"exit1: {taken}; full: {taken}"
    assert list(start.fingerprints) == ["init exit1", "init full"]
    assert [folder.name for folder in start.folders.values()] == ["small", "large"]


def test_a_network_that_is_not_named_starts_from_scratch(small, tmp_path):
    torch.manual_seed(5)
    start, report, network = started({"exit1": small[0]}, tmp_path)
    torch.manual_seed(5)
    untouched = CascadeDetector(MODEL, CLASSES)
    assert torch.equal(network.trunk.features[0][0].weight, untouched.trunk.features[0][0].weight)
    assert report.sources == f"{small[0]} (exit1)"
    assert report.summary().endswith("0 unused; full: from scratch")
    assert list(start.fingerprints) == ["init exit1"]
    with pytest.raises(UserError, match=r"max_epochs=0 keeps the starting weights.*full: from scratch"):
        check_untrained(start, report, MODEL)


def test_one_source_starts_all_networks(large, tmp_path):
    start, report, network = started(large[0], tmp_path)
    weight = large[1].trunk.features[3].block[0][0].weight
    assert torch.equal(network.trunk.features[3].block[0][0].weight, weight)
    assert torch.equal(network.looks["exit1"].trunk.features[3].block[0][0].weight, weight)
    assert list(start.fingerprints) == ["init"]
    assert report.sources == large[0]
    assert report.summary().startswith("exit1: ")


def test_a_model_with_looks_gives_each_network_its_own(tmp_path):
    source = detector({}, looks=LOOKS, seed=3)
    folder = keep(tmp_path / "both", source)
    _, report, network = started(folder, tmp_path)
    assert report.complete
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), source.state_dict().values(), strict=True)
    )
    # A static detector can start from it, too: from the network that ends at the full exit.
    _, report, static = started(folder, tmp_path, replace(MODEL, looks={}))
    assert torch.equal(static.trunk.features[3].block[0][0].weight, source.trunk.features[3].block[0][0].weight)
    assert report.sources == folder
    assert report.summary().startswith(f"{len(static.state_dict())} tensors taken over")


def test_nothing_starts_from_scratch(tmp_path):
    start, report, _ = started("scratch", tmp_path)
    assert report is None
    assert start.fingerprints == {}
    assert started({"exit1": "scratch"}, tmp_path)[1] is None


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="init=nowhere: no such file or run"):
        find_start("init", {"exit1": "nowhere"}, MODEL, tmp_path)


SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
OTHERS = [
    (replace(MODEL, input=InputConfig(SIZE_PX + 32)), f"size_px of full must be {SIZE_PX}, .* got {SIZE_PX + 32}"),
    (replace(MODEL, looks={"exit1": LookConfig(LOOK_PX + 8, NARROW)}), f"size_px of exit1 must be {LOOK_PX}, "),
    (replace(MODEL, looks={"exit1": LookConfig(LOOK_PX, NARROW, SCALES)}), "anchor_scales of exit1 must be None, "),
    (replace(MODEL, input=InputConfig(SIZE_PX, scaling="symmetric")), "scaling of exit1 must be imagenet, "),
    (replace(MODEL, input=InputConfig(SIZE_PX, "letterbox")), "resize of exit1 must be stretch, "),
]


@pytest.mark.parametrize(("model", "line"), OTHERS)
def test_what_is_kept_untrained_must_see_what_it_has_learnt_with(model, line, small, large, tmp_path):
    start, report, _ = started({"exit1": small[0], "full": large[0]}, tmp_path, model)
    with pytest.raises(UserError, match=line):
        check_untrained(start, report, model)


def test_a_pyramid_is_not_lost_untrained(small, tmp_path):
    model = ModelConfig(InputConfig(SIZE_PX), NARROW, full=FullConfig(top_down=True))
    network = CascadeDetector(model, CLASSES).eval()
    start, report, _ = started({"exit1": small[0], "full": keep(tmp_path / "pyramid", network)}, tmp_path)
    assert report.complete
    with pytest.raises(UserError, match=r"full has no place for full\.top_down\."):
        check_untrained(start, report, MODEL)


LOOKING = {"input": {"size_px": 96}, "looks": {"exit1": {"size_px": 64}}}
LINES = [
    ({"init": {"exit1": "a", "exit2": "b"}}, "init must name networks of the model (exit1, full), got exit2"),
    (
        {"init": {"full": "a"}, "optimizer": {"frozen_features": 3}},
        "optimizer.frozen_features must be 0 with init=scratch (exit1): random features would never learn",
    ),
    ({"init": "a", "loss": {}}, "loss.cascade.weight must be 0 for a model with looks"),
    ({"trainer": {"max_epochs": -1}}, "trainer: max_epochs must not be negative, got -1"),
]


@pytest.mark.parametrize(("settings", "line"), LINES)
def test_settings_that_do_not_go_together_are_refused(settings, line):
    values = {"model": LOOKING, "loss": {"cascade": {"weight": 0.0}}, "data": {"classes": ["chair"]}} | settings
    with pytest.raises(SchemaError, match=re.escape(line)):
        build(TrainConfig, values)
