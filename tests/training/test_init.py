"""Where training starts."""

import pytest
import torch
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights, ssdlite320_mobilenet_v3_large

from cascade_exit.model import BackboneConfig, CascadeDetector, ModelConfig
from cascade_exit.runs import UserError, build
from cascade_exit.training import StartingWeights, starting_weights, weights_of_run
from tests.conftest import REPOSITORY
from tests.training.small import EXITS

SMALL = {"input": {"size_px": 96}, "backbone": {"width": 0.35}, "exits": EXITS}
CHAIR = ("chair",)


def test_scratch_takes_nothing():
    weights = starting_weights("scratch", ModelConfig())
    assert weights.fingerprint is None
    assert weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1), CHAIR) is None


def test_a_file_of_bare_features_loads(tmp_path):
    source = CascadeDetector(build(ModelConfig, SMALL), 1)
    state = {f"features.{k}": v for k, v in source.trunk.features.state_dict().items() if not k.startswith("16.")}
    torch.save(state, tmp_path / "features.pt")
    weights = starting_weights(str(tmp_path / "features.pt"), source.config)
    target = CascadeDetector(source.config, 1)
    report = weights.load_into(target, CHAIR)
    assert len(report.loaded) == len(state)
    assert not report.unused
    assert torch.equal(target.trunk.features[3].block[0][0].weight, source.trunk.features[3].block[0][0].weight)


def test_classes_without_names_give_what_fits_and_say_what_does_not():
    source = CascadeDetector(build(ModelConfig, SMALL), 13)
    target = CascadeDetector(build(ModelConfig, SMALL), 1)
    report = StartingWeights("other", source.state_dict(), "x").load_into(target, CHAIR)
    assert all("classification" in name for name in report.other_shape)
    assert len(report.other_shape) == 3 * 6 * 2  # three exits, six levels, weight and bias
    assert "36 of another shape" in report.summary()
    assert "head.classification" in report.summary()


def test_nothing_fits():
    weights = StartingWeights("foreign.pt", {"features.0.0.weight": torch.zeros(1)}, "x")
    with pytest.raises(UserError, match=r"init=foreign\.pt: none of its 1 tensors fits this model"):
        weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1), CHAIR)


def test_not_a_file_of_weights(tmp_path):
    (tmp_path / "weights.pt").write_text("no weights")
    with pytest.raises(UserError, match=r"weights\.pt: not readable as weights"):
        starting_weights(str(tmp_path / "weights.pt"), ModelConfig())


def test_foreign_names_are_said_with_the_file():
    weights = StartingWeights("foreign.pt", {"a": torch.zeros(1)}, "x")
    with pytest.raises(UserError, match=r"init=foreign\.pt: weights must be named .* got a$"):
        weights.load_into(CascadeDetector(build(ModelConfig, SMALL), 1), CHAIR)


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


THIRTEEN = ("person", "bicycle", "car", "motorcycle", "bird", "cat", "dog", "bottle", "chair", "couch")
THIRTEEN += ("potted plant", "dining table", "tv")


def small_detector(classes, exits=EXITS):
    return CascadeDetector(build(ModelConfig, SMALL | {"exits": exits}), classes)


def class_rows(detector, exit_name="full"):
    """Weights of the first level's class predictor, [anchor label channel …]."""
    head = (detector.full if exit_name == "full" else detector.exits[exit_name]).head
    return head.classification[0][1].weight.detach().unflatten(0, (6, -1))


def test_a_detector_of_one_class_starts_with_that_class_s_rows():
    source, target = small_detector(13), small_detector(1)
    report = StartingWeights("multi", source.state_dict(), "x", THIRTEEN).load_into(target, CHAIR)
    for name in ("exit1", "exit2", "full"):
        # Background and chair, which is the ninth class.
        assert torch.equal(class_rows(target, name), class_rows(source, name)[:, [0, 9]])
    assert not report.other_shape
    assert report.summary().endswith("0 of another shape, 0 missing, 0 unused; classes taken over: chair")


def test_a_detector_of_more_classes_starts_with_the_row_of_the_one():
    source, target = small_detector(1), small_detector(13)
    fresh = class_rows(target).clone()
    report = StartingWeights("chair", source.state_dict(), "x", CHAIR).load_into(target, THIRTEEN)
    found, given = class_rows(target), class_rows(source)
    assert torch.equal(found[:, [0, 9]], given)
    new = [label for label in range(1, 14) if label != 9]
    torch.testing.assert_close(found[:, new] - found[:, :1], fresh[:, new] - fresh[:, :1])
    assert report.summary().endswith(
        "classes taken over: chair; new classes: person, bicycle, car, motorcycle, bird, cat and 6 more"
    )


def test_as_many_classes_of_other_names_are_not_mistaken_for_each_other():
    source, target = small_detector(2), small_detector(2)
    report = StartingWeights("x", source.state_dict(), "x", ("cat", "dog")).load_into(target, ("dog", "cup"))
    assert torch.equal(class_rows(target)[:, :2], class_rows(source)[:, [0, 2]])
    assert (report.kept_classes, report.new_classes) == (("dog",), ("cup",))
    same = StartingWeights("x", source.state_dict(), "x", ("cat", "dog")).load_into(target, ("cat", "dog"))
    assert torch.equal(class_rows(target), class_rows(source))
    assert "classes" not in same.summary()


def test_a_static_detector_of_many_classes_starts_a_cascade_of_one():
    source, target = small_detector(13, {}), small_detector(1)
    early = class_rows(target, "exit1").clone()
    report = StartingWeights("static", source.state_dict(), "x", THIRTEEN).load_into(target, CHAIR)
    assert torch.equal(class_rows(target), class_rows(source)[:, [0, 9]])
    assert torch.equal(class_rows(target, "exit1"), early)
    assert report.kept_classes == CHAIR


def test_a_backbone_alone_says_nothing_of_classes():
    trunk = {k: v for k, v in small_detector(13).state_dict().items() if k.startswith("trunk.")}
    report = StartingWeights("trunk", trunk, "x", THIRTEEN).load_into(small_detector(1), CHAIR)
    assert "classes" not in report.summary()


def test_a_checkpoint_file_says_its_classes(tmp_path):
    source, target = small_detector(13), small_detector(1)
    state = {f"detector.{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"classes": list(THIRTEEN)}}, tmp_path / "best.ckpt")
    weights = starting_weights(str(tmp_path / "best.ckpt"), source.config)
    assert weights.classes == THIRTEEN
    weights.load_into(target, CHAIR)
    assert torch.equal(class_rows(target), class_rows(source)[:, [0, 9]])


def test_coco_weights_know_coco_s_classes(monkeypatch):
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    monkeypatch.setattr(
        SSDLite320_MobileNet_V3_Large_Weights, "get_state_dict", lambda *given, **options: theirs.state_dict()
    )
    config = ModelConfig(backbone=BackboneConfig(reduced_tail=True))
    target = CascadeDetector(config, 2)
    starting_weights("coco", config).load_into(target, ("chair", "person"))
    given = theirs.head.classification_head.module_list[0][1].weight.unflatten(0, (6, 91))
    # COCO's own category ids: 1 is person, 62 is chair.
    assert torch.equal(class_rows(target), given[:, [0, 62, 1]])


def test_weights_of_a_kept_model_know_its_classes():
    assert weights_of_run("chair", REPOSITORY / "models" / "chair").classes == CHAIR
