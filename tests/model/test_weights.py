import pytest
import torch
from torchvision.models import mobilenet_v3_large
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from cascade_exit.data import InputConfig
from cascade_exit.model import (
    BackboneConfig,
    CascadeDetector,
    LoadReport,
    ModelConfig,
    from_torchvision,
    load_what_fits,
    recognise,
    to_torchvision,
)
from cascade_exit.runs import UserError

from .networks import CLASSES, NARROW, SIZE_PX, TABLE_075, TWO_EXITS, detector, photos, stir


def trunk_without_its_last_block() -> dict[str, torch.Tensor]:
    """Weights as a backbone trained elsewhere comes: `features.0` to `features.15` of the 0.75 table."""
    torch.manual_seed(7)
    network = MobileNetV3([InvertedResidualConfig(*row, 1, 1.0) for row in TABLE_075], last_channel=8)
    stir(network)
    return {
        name: value
        for name, value in network.state_dict().items()
        if name.startswith("features.") and not name.startswith("features.16.")
    }


def test_a_bare_backbone_by_table_loads_by_name():
    config = ModelConfig(input=InputConfig(size_px=SIZE_PX), backbone=BackboneConfig(table=TABLE_075), exits=TWO_EXITS)
    model, weights = CascadeDetector(config, CLASSES).eval(), trunk_without_its_last_block()
    untouched = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_what_fits(model, recognise(weights, model.trunk))
    assert set(report.loaded) == {f"trunk.{name}" for name in weights}
    assert not report.other_shape
    assert not report.unused
    assert {name for name in report.missing if name.startswith("trunk.")} == {
        name for name in untouched if name.startswith("trunk.features.16.")
    }
    state = model.state_dict()
    assert all(torch.equal(state[f"trunk.{name}"], value) for name, value in weights.items())
    assert all(torch.equal(state[name], untouched[name]) for name in report.missing)
    # It computes what the network it came from computes.
    network = MobileNetV3([InvertedResidualConfig(*row, 1, 1.0) for row in TABLE_075], last_channel=8).eval()
    network.load_state_dict(weights, strict=False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.001
    with torch.no_grad():
        x = model.normalise(photos())
        torch.testing.assert_close(model.trunk.run(x, 0, 16)[0], network.features[:16](x))


def test_a_whole_mobilenet_gives_its_features_and_not_its_classifier():
    network = mobilenet_v3_large(width_mult=0.35)
    model = detector({})
    report = load_what_fits(model, recognise(network.state_dict(), model.trunk))
    assert set(report.loaded) == {f"trunk.{name}" for name in network.state_dict() if name.startswith("features.")}
    assert all(name.startswith("full.") for name in report.missing)


def test_other_classes_give_all_but_the_class_heads():
    config = ModelConfig(input=InputConfig(size_px=SIZE_PX), backbone=NARROW, exits=TWO_EXITS)
    source, target = CascadeDetector(config, 5), detector(seed=1)
    stir(source)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    report = load_what_fits(target, recognise(source.state_dict(), target.trunk))
    assert report.other_shape
    # The last layer of each class predictor: weight and bias, six levels, three exits.
    assert len(report.other_shape) == 2 * 6 * 3
    assert all(".head.classification." in name for name in report.other_shape)
    assert not report.missing
    assert not report.unused
    given, state = source.state_dict(), target.state_dict()
    assert all(torch.equal(state[name], given[name]) for name in report.loaded)
    assert all(torch.equal(state[name], before[name]) for name in report.other_shape)


def test_weights_of_exits_that_are_not_there_are_unused():
    source, target = detector(), detector({}, seed=1)
    report = load_what_fits(target, source.state_dict())
    assert report.unused
    assert all(name.startswith("exits.") for name in report.unused)
    assert not report.missing
    assert torch.equal(target(photos())["full"].class_logits, source(photos())["full"].class_logits)
    report = load_what_fits(detector(), target.state_dict())
    assert report.missing
    assert all(name.startswith("exits.") for name in report.missing)


def test_sixteen_bit_weights_are_widened():
    source, target = detector(), detector(seed=1)
    halved = {name: value.half() if value.is_floating_point() else value for name, value in source.state_dict().items()}
    load_what_fits(target, halved)
    state = target.state_dict()
    assert all(state[name].dtype == value.dtype for name, value in source.state_dict().items())
    assert all(torch.equal(state[name], value.to(state[name].dtype)) for name, value in halved.items())


def test_the_summary_is_one_line_that_names_what_is_new():
    report = LoadReport(
        loaded=("trunk.features.0.0.weight",),
        other_shape=("full.head.classification.0.1.weight", "full.head.classification.0.1.bias"),
        missing=("trunk.features.16.0.weight",),
        unused=("classifier.0.weight",),
    )
    assert report.summary() == (
        "1 tensors taken over, 2 of another shape, 1 missing, 1 unused; "
        "initialised anew: full.head.classification, trunk.features.16"
    )
    assert LoadReport(("a",), (), (), ()).summary() == "1 tensors taken over, 0 of another shape, 0 missing, 0 unused"
    many = LoadReport((), (), tuple(f"trunk.features.{i}.weight" for i in range(9)), ())
    assert many.summary().endswith("and 3 more")


def test_recognises_each_naming():
    model = detector()
    state = model.state_dict()
    assert recognise(state, model.trunk).keys() == state.keys()
    theirs = to_torchvision(state, model.trunk)
    assert all(name.startswith(("backbone.", "head.")) for name in theirs)
    static = {name for name in state if not name.startswith("exits.")}
    assert recognise(theirs, model.trunk).keys() == static
    assert all(torch.equal(value, state[name]) for name, value in from_torchvision(theirs, model.trunk).items())


@pytest.mark.parametrize(
    ("state", "named"), [({"layer1.weight": torch.zeros(1)}, "layer1.weight"), ({}, "none at all")]
)
def test_a_naming_that_nobody_knows_is_refused(state, named):
    with pytest.raises(UserError, match=f"weights must be named as here .* got {named}"):
        recognise(state, detector({}).trunk)
