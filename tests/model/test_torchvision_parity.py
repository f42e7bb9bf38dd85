"""The full path against torchvision's `ssdlite320_mobilenet_v3_large`, weights carried over both ways."""

import pytest
import torch
from torchvision.models import mobilenet_v3_large
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, _mobilenet_extractor

from cascade_exit.data import InputConfig
from cascade_exit.model import (
    BackboneConfig,
    CascadeDetector,
    DecodingConfig,
    ExitOutput,
    ModelConfig,
    decode,
    from_torchvision,
    load_what_fits,
    to_torchvision,
)
from cascade_exit.model.layers import norm_layer

CLASSES = 3


def reference(reduced_tail: bool):
    torch.manual_seed(0)
    network = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, detections_per_img=100
    )
    if not reduced_tail:
        # Without ImageNet weights torchvision always halves the tail; the other tail is built by hand.
        full = mobilenet_v3_large(weights=None, norm_layer=norm_layer)
        network.backbone = _mobilenet_extractor(full, 6, norm_layer)
        from torchvision.models.detection.ssdlite import SSDLiteHead

        network.head = SSDLiteHead([672, 960, 512, 256, 256, 128], [6] * 6, CLASSES + 1, norm_layer)
    assert isinstance(network.backbone, SSDLiteFeatureExtractorMobileNet)
    # Batch norm statistics and logits that differ from place to place, so that a mix-up would show.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


def ours(reduced_tail: bool) -> CascadeDetector:
    config = ModelConfig(input=InputConfig(scaling="symmetric"), backbone=BackboneConfig(reduced_tail=reduced_tail))
    return CascadeDetector(config, CLASSES).eval()


@pytest.mark.parametrize("reduced_tail", [True, False])
def test_same_logits_and_deltas(reduced_tail):
    theirs, model = reference(reduced_tail), ours(reduced_tail)
    report = load_what_fits(model, from_torchvision(theirs.state_dict(), model.trunk))
    assert not report.missing
    assert not report.other_shape
    assert not report.unused
    images = torch.randint(0, 256, (2, 3, 320, 320), dtype=torch.uint8)
    with torch.no_grad():
        normalised, _ = theirs.transform([image.float() / 255 for image in images])
        maps = list(theirs.backbone(normalised.tensors).values())
        expected = theirs.head(maps)
        output = model(images)["full"]
    torch.testing.assert_close(output.class_logits, expected["cls_logits"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.box_deltas, expected["bbox_regression"], atol=1e-5, rtol=1e-5)
    anchors = theirs.anchor_generator(normalised, maps)[0]
    torch.testing.assert_close(model.grid.boxes, anchors)


@pytest.mark.parametrize("reduced_tail", [True, False])
def test_key_map_is_one_to_one_both_ways(reduced_tail):
    theirs, model = reference(reduced_tail), ours(reduced_tail)
    state = theirs.state_dict()
    there_and_back = to_torchvision(from_torchvision(state, model.trunk), model.trunk)
    assert there_and_back.keys() == state.keys()
    assert all(torch.equal(there_and_back[name], state[name]) for name in state)
    assert to_torchvision(model.state_dict(), model.trunk).keys() == state.keys()


def test_same_detections():
    theirs, model = reference(True), ours(True)
    load_what_fits(model, from_torchvision(theirs.state_dict(), model.trunk))
    images = torch.randint(0, 256, (2, 3, 240, 360), dtype=torch.uint8)
    with torch.no_grad():
        batch, _ = theirs.transform([image.float() / 255 for image in images])
        maps = list(theirs.backbone(batch.tensors).values())
        # A network of random weights says nearly the same everywhere; which of equals is kept is anyone's choice.
        output = {name: values + torch.randn_like(values) for name, values in theirs.head(maps).items()}
        # In float64: torchvision moves the classes apart by hundreds of pixels before NMS, which costs float32 the
        # digits that decide about an overlap near the threshold, differently on every processor.
        found = theirs.postprocess_detections(
            {name: values.double() for name, values in output.items()},
            [anchors.double() for anchors in theirs.anchor_generator(batch, maps)],
            batch.image_sizes,
        )
        expected = theirs.transform.postprocess(found, batch.image_sizes, [(240, 360)] * 2)
    ours_found = decode(
        ExitOutput(output["cls_logits"], output["bbox_regression"]),
        model.grid,
        model.config.input,
        torch.tensor([[240, 360], [240, 360]]),
        DecodingConfig(detections_per_image=100),
    )
    for one, other in zip(ours_found, expected, strict=True):
        assert len(one.scores) == 100
        torch.testing.assert_close(one.scores, other["scores"].float())
        assert torch.equal(one.labels, other["labels"])
        torch.testing.assert_close(one.boxes, other["boxes"].float(), atol=1e-3, rtol=1e-5)
