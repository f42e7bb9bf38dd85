"""A look is a static detector on a smaller image: held to real ones."""

import pytest
import torch

from cascade_exit.data import InputConfig, resize_image, shrink_images
from cascade_exit.model import (
    AnchorGrid,
    CascadeDetector,
    ExitConfig,
    FullConfig,
    LookConfig,
    ModelConfig,
    decode,
    exit_costs,
    make_digest,
)
from tests.model.networks import CLASSES, LOOK_PX, LOOKS, NARROW, SIZE_PX, close, detector, photos, same, variant

SCALES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)


@pytest.fixture(scope="module")
def small() -> CascadeDetector:
    return detector({}, size_px=LOOK_PX, seed=1)


@pytest.fixture(scope="module")
def large() -> CascadeDetector:
    return detector({}, seed=2)


@pytest.fixture(scope="module")
def both(small, large) -> CascadeDetector:
    model = detector({}, looks=LOOKS)
    model.networks["exit1"].load_state_dict(small.state_dict())
    unfit = model.load_state_dict(large.state_dict(), strict=False)
    assert not unfit.unexpected_keys
    assert all(name.startswith("looks.exit1.") for name in unfit.missing_keys)
    return model


def test_every_exit_says_what_the_static_detector_of_its_size_says(both, small, large):
    images = photos(3)
    outputs = both(images)
    assert list(outputs) == ["exit1", "full"]
    assert same(outputs["full"], large(images)["full"])
    assert same(outputs["exit1"], small(shrink_images(images, LOOK_PX))["full"])


def test_a_look_at_the_input_size_sees_the_input_itself(large):
    model = detector({}, looks={"exit1": LookConfig(SIZE_PX, NARROW)})
    model.networks["exit1"].load_state_dict(large.state_dict())
    assert same(model(photos())["exit1"], large(photos())["full"])
    assert torch.equal(model.grids["exit1"].boxes, large.grid.boxes)


def test_a_look_with_top_down_is_a_static_detector_with_it():
    static = variant("top down")
    model = detector({}, looks={"exit1": LookConfig(SIZE_PX, NARROW, top_down=True)})
    model.networks["exit1"].load_state_dict(static.state_dict())
    assert same(model(photos())["exit1"], static(photos())["full"])


def test_boxes_of_a_look_lie_in_pixels_of_the_input(both, small):
    images, sizes = photos(2), torch.tensor([[96, 192], [50, 70]])
    output = both(images)["exit1"]
    for resize in ("stretch", "letterbox"):
        ours = decode(output, both.grids["exit1"], InputConfig(SIZE_PX, resize), sizes)
        theirs = decode(output, small.grid, InputConfig(LOOK_PX, resize), sizes)
        for one, other in zip(ours, theirs, strict=True):
            assert len(one.scores) == 100
            torch.testing.assert_close(one.scores, other.scores)
            # A letterbox is rounded to whole pixels at each size: there the smaller one is up to half a pixel off.
            atol = 1e-3 if resize == "stretch" else 1.0
            torch.testing.assert_close(one.boxes, other.boxes, rtol=0, atol=atol)
    ours, theirs = make_digest(output, both.grids["exit1"]), make_digest(output, small.grid)
    torch.testing.assert_close(ours.boxes, theirs.boxes * (SIZE_PX / LOOK_PX), rtol=0, atol=1e-3)


@pytest.mark.parametrize("scales", [None, SCALES])
def test_anchors_of_a_look_are_those_of_its_size_enlarged(scales):
    grid, own = AnchorGrid(416, scales, 160), AnchorGrid(160, scales)
    assert grid.cells == own.cells == (10, 5, 3, 2, 1, 1)
    torch.testing.assert_close(grid.boxes, own.boxes * 2.6, rtol=0, atol=1e-3)


def test_shrinking_is_resizing_each_image_alone():
    images = photos(3, 104)
    alone = torch.stack([resize_image(image, InputConfig(40)) for image in images])
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(shrink_images(given, 40), alone)
    assert torch.equal(shrink_images(images, 104), images)


def test_shrinking_averages():
    """A fine chequerboard becomes grey, where sampling without averaging would keep black and white."""
    image = torch.zeros(1, 3, 104, 104, dtype=torch.uint8)
    image[..., ::2, ::2] = image[..., 1::2, 1::2] = 255
    small = shrink_images(image, 40)[..., 2:-2, 2:-2].float()
    assert (small - 127.5).abs().max() < 40


def test_leaving_at_a_look_costs_the_look_and_going_on_costs_both(both, small, large):
    looking, full = exit_costs(both).values()
    of_small, of_large = exit_costs(small)["full"], exit_costs(large)["full"]
    assert looking == of_small
    assert full.macs == of_small.macs + of_large.macs
    assert full.parameters == of_small.parameters + of_large.parameters
    assert full.answer_macs == of_large.answer_macs


def test_a_look_that_is_not_asked_is_not_run():
    model = variant("looks")
    calls = []
    handle = model.looks["exit1"].trunk.features[0].register_forward_hook(lambda *_: calls.append("look"))
    other = model.trunk.features[0].register_forward_hook(lambda *_: calls.append("trunk"))
    images = photos()
    assert model.running(("exit1",)) == ("exit1",)
    assert model.running(("full",)) == ("exit2", "full")
    assert model.running(("exit1", "exit2")) == ("exit1", "exit2")
    alone = model(images, exits=("full",))
    assert calls == ["trunk"]
    model(images, exits=("exit1",))
    assert calls == ["trunk", "look"]
    handle.remove()
    other.remove()
    close(alone["full"], model(images)["full"])
    assert set(model.start(images)) == {"images", "images_exit1"}
    # And one that was asked leaves nothing behind.
    assert set(model.answer("exit1", model.advance("exit1", model.start(images)))[1]) == {"images"}
    assert set(model.start(images, ("exit2", "full"))) == {"images"}


def test_a_look_learns_by_itself():
    model = detector({}, looks=LOOKS).train()
    model(photos())["exit1"].class_logits.sum().backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved
    assert all(name.startswith("looks.exit1.") for name in moved)


def test_what_a_look_saw_begins_as_if_it_were_not_there(both):
    images, model = photos(3), detector({}, FullConfig("features"), looks=LOOKS)
    missing = model.load_state_dict(both.state_dict(), strict=False).missing_keys
    assert missing == ["full.fuse.project.weight", "full.fuse.project.bias"]
    outputs, expected = model(images), both(images)
    assert all(same(outputs[name], expected[name]) for name in expected)


def test_what_a_look_hands_on_is_its_last_map_of_stride_16():
    model, images = variant("handed on"), photos()
    _, state = model.answer("exit1", model.advance("exit1", model.start(images)))
    assert set(state) == {"images", "context"}
    small = model.normalise(shrink_images(images, LOOK_PX))
    look = model.looks["exit1"].trunk
    maps = [small]
    for block in look.features:
        maps.append(block(maps[-1]))
    seen = [one for one in maps if one.shape[-1] == LOOK_PX // 16][-1]
    torch.testing.assert_close(state["context"], seen)


def test_an_exit_that_is_told_what_a_look_saw_needs_the_look():
    model, images = variant("handed on"), photos()
    assert model.running(("full",)) == model.answering(("full",)) == ("exit1", "full")
    told = model(images)["full"]
    assert same(model(images, exits=("full",))["full"], told)
    _, state = model.answer("exit1", model.advance("exit1", model.start(images)))
    for context, expected in ((state["context"], True), (state["context"].flip(-1), False)):
        output, _ = model.answer("full", model.advance("full", state | {"context": context}))
        assert same(output, told) == expected


LATER = {"exit2": ExitConfig(8)}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"looks": {"look": LookConfig()}}, r"looks must be named exit1 in this order, got look"),
        ({"looks": LOOKS, "exits": {"exit1": ExitConfig(8)}}, r"exits must be named exit2 .*\(looks has exit1\)"),
        (
            {"looks": {"exit1": LookConfig(336)}},
            r"looks\.exit1\.size_px must be at most input\.size_px \(320\), got 336",
        ),
        ({"looks": LOOKS, "full": FullConfig("logits")}, r"full\.context must be none or features: exit1 is a look"),
        (
            {"looks": LOOKS, "full": FullConfig(refinement="residual")},
            r"full\.refinement must be fresh or averaged: exit1 is a look",
        ),
        (
            {"looks": LOOKS, "exits": {"exit2": ExitConfig(8, context="logits")}},
            r"exits\.exit2\.context must be none or",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        ModelConfig(**settings)


def test_sizes_and_scales_are_checked():
    with pytest.raises(ValueError, match="size_px must be at least 32, got 16"):
        LookConfig(16)
    with pytest.raises(ValueError, match="anchor_scales must hold 7 numbers, got 1"):
        LookConfig(anchor_scales=(0.5,))


def test_names_go_on_from_look_to_trunk():
    config = ModelConfig(looks=LOOKS, exits=LATER)
    assert config.exit_names == ("exit1", "exit2", "full")
    assert CascadeDetector(config, CLASSES).exit_names == config.exit_names
