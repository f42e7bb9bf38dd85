"""Where training starts."""

import pytest
import torch

from cascade_exit.model import BackboneConfig, CascadeDetector, ModelConfig
from cascade_exit.runs import UserError, build
from cascade_exit.training import StartingWeights, starting_weights
from tests.training.small import EXITS

SMALL = {"input": {"size_px": 96}, "backbone": {"width": 0.35}, "exits": EXITS}


def test_scratch_takes_nothing():
    weights = starting_weights("scratch", ModelConfig())
    assert weights.fingerprint is None
    assert weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1)) is None


def test_a_file_of_bare_features_loads(tmp_path):
    source = CascadeDetector(build(ModelConfig, SMALL), 1)
    state = {f"features.{k}": v for k, v in source.trunk.features.state_dict().items() if not k.startswith("16.")}
    torch.save(state, tmp_path / "features.pt")
    weights = starting_weights(str(tmp_path / "features.pt"), source.config)
    target = CascadeDetector(source.config, 1)
    report = weights.load_into(target)
    assert len(report.loaded) == len(state)
    assert not report.unused
    assert torch.equal(target.trunk.features[3].block[0][0].weight, source.trunk.features[3].block[0][0].weight)


def test_other_classes_give_what_fits_and_say_what_does_not():
    source = CascadeDetector(build(ModelConfig, SMALL), 13)
    target = CascadeDetector(build(ModelConfig, SMALL), 1)
    report = StartingWeights("other", source.state_dict(), "x").load_into(target)
    assert all("classification" in name for name in report.other_shape)
    assert len(report.other_shape) == 3 * 6 * 2  # three exits, six levels, weight and bias
    assert "36 of another shape" in report.summary()
    assert "head.classification" in report.summary()


def test_nothing_fits():
    weights = StartingWeights("foreign.pt", {"features.0.0.weight": torch.zeros(1)}, "x")
    with pytest.raises(UserError, match=r"init=foreign\.pt: none of its 1 tensors fits this model"):
        weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1))


def test_not_a_file_of_weights(tmp_path):
    (tmp_path / "weights.pt").write_text("no weights")
    with pytest.raises(UserError, match=r"weights\.pt: not readable as weights"):
        starting_weights(str(tmp_path / "weights.pt"), ModelConfig())


def test_foreign_names_are_said_with_the_file():
    weights = StartingWeights("foreign.pt", {"a": torch.zeros(1)}, "x")
    with pytest.raises(UserError, match=r"init=foreign\.pt: weights must be named .* got a$"):
        weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1))


@pytest.mark.parametrize(
    ("source", "backbone", "line"),
    [
        ("coco", BackboneConfig(name="mobilenet_v3_small"), "COCO weights for mobilenet_v3_large only"),
        ("coco", BackboneConfig(), "need model.backbone.reduced_tail=true"),
        ("imagenet", BackboneConfig(width=0.5), "use init=FILE for this backbone"),
    ],
)
def test_torchvision_has_no_such_weights(source, backbone, line):
    with pytest.raises(UserError, match=line):
        starting_weights(source, ModelConfig(backbone=backbone))


def test_without_a_network_a_clear_line_says_how_to_go_on(monkeypatch, tmp_path):
    # A port on which nothing listens, and an empty cache.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be fetched .* give its path as init=FILE, or start with init=scratch"):
        starting_weights("imagenet", ModelConfig())
