"""The assembled detector: what each setting changes, input, precision, keeping."""

import copy
import io
import pickle

import pytest
import torch
from torchvision.transforms import Normalize

from cascade_exit.data import InputConfig
from cascade_exit.model import AnchorGrid, BackboneConfig, CascadeDetector, ExitConfig, FullConfig, ModelConfig
from cascade_exit.model.attention import CBAM
from cascade_exit.model.head import OBJECT_PRIOR

from .networks import (
    CLASSES,
    NARROW,
    RESIDUAL,
    SIZE_PX,
    TABLE_075,
    TWO_EXITS,
    VARIANTS,
    close,
    copy_shared,
    detector,
    photos,
    same,
    variant,
    with_context,
)

ANCHORS = 6 * (36 + 9 + 4 + 1 + 1 + 1)
FIRST_LEVEL, SECOND_LEVEL = 6 * 36, 6 * 9


# Number and place of exits


@pytest.mark.parametrize("places", [(), (8,), (6, 14), (7, 12, 15)])
def test_as_many_exits_as_configured_each_for_every_anchor(places):
    exits = {f"exit{i + 1}": ExitConfig(place, channels=16) for i, place in enumerate(places)}
    outputs = detector(exits)(photos())
    assert list(outputs) == [*exits, "full"]
    for output in outputs.values():
        assert output.class_logits.shape == (2, ANCHORS, CLASSES + 1)
        assert output.box_deltas.shape == (2, ANCHORS, 4)


@pytest.mark.parametrize("place", range(6, 15))
def test_an_exit_may_stand_after_any_of_these_and_sees_no_further(place):
    model, images = detector({"exit1": ExitConfig(place, channels=16)}), photos(1)
    before = model(images)
    with torch.no_grad():
        for parameter in model.trunk.features[place + 1 :].parameters():
            parameter.add_(0.1)
    after = model(images)
    assert same(before["exit1"], after["exit1"])
    assert not same(before["full"], after["full"])
    with torch.no_grad():
        for parameter in model.trunk.features[place].parameters():
            parameter.add_(0.1)
    assert not same(after["exit1"], model(images)["exit1"])


def test_any_backbone_carries_exits():
    for backbone, place in (
        (BackboneConfig("mobilenet_v3_small", width=0.5), 6),
        (BackboneConfig(width=0.35, reduced_tail=True), 14),
        (BackboneConfig(table=TABLE_075), 8),
    ):
        outputs = detector({"exit1": ExitConfig(place, channels=16)}, backbone=backbone)(photos(1))
        assert outputs["exit1"].class_logits.shape == outputs["full"].class_logits.shape


@pytest.mark.parametrize("size_px", [100, 192, 224])
def test_the_answers_fit_the_anchors_at_any_size(size_px):
    model = detector(size_px=size_px)
    for output in model(photos(1, size_px)).values():
        assert output.class_logits.shape[1] == output.box_deltas.shape[1] == len(model.grid.boxes)


def test_early_exits_leave_the_full_answer_alone():
    static, cascade = detector({}), detector()
    copy_shared(static, cascade)
    assert same(static(photos())["full"], cascade(photos())["full"])


# What an exit is made of


@pytest.mark.parametrize(("kind", "count"), [("none", 0), ("se", 0), ("cbam", 1)])
def test_attention_is_in_the_branch(kind, count):
    model = detector({"exit1": ExitConfig(8, channels=16, attention=kind)})
    assert sum(isinstance(m, CBAM) for m in model.exits["exit1"].branch.modules()) == count
    assert any("branch.attention" in name for name in model.state_dict()) == (kind != "none")


@pytest.mark.parametrize(
    "changed",
    [
        {"attention": "none"},
        {"attention": "cbam"},
        {"skip": False},
        {"pyramid": False},
        {"depth": 4},
        {"kernel": 5},
        {"coarse_depth": 1},
    ],
)
def test_each_setting_of_an_exit_changes_its_answer_and_only_its(changed):
    plain = variant("plain")
    exits = {**TWO_EXITS, "exit1": ExitConfig(8, **{"channels": 32, **changed})}
    other = detector(exits)
    copy_shared(plain, other)
    before, after = plain(photos()), other(photos())
    assert not same(before["exit1"], after["exit1"])
    assert same(before["exit2"], after["exit2"])
    assert same(before["full"], after["full"])


@pytest.mark.parametrize(("place", "first", "count"), [(8, 0, FIRST_LEVEL), (14, FIRST_LEVEL, SECOND_LEVEL)])
def test_without_a_pyramid_an_exit_speaks_for_its_own_map_only(place, first, count):
    model = detector({"exit1": ExitConfig(place, channels=32, pyramid=False)})
    output = model(photos())["exit1"]
    own = torch.zeros(ANCHORS, dtype=torch.bool)
    own[first : first + count] = True
    assert output.class_logits[:, own].std() > 0.01
    assert (output.class_logits[:, ~own].softmax(-1)[..., 0] > 0.999).all()
    assert (output.box_deltas[:, ~own] == 0).all()
    assert (output.box_deltas[:, own] != 0).any(-1).all()


def test_a_coarse_exit_looks_down_at_the_map_of_the_first():
    model, images = detector(), photos(1)
    state = model.advance("exit2", model.advance("exit1", model.start(images)))
    assert state["lateral"].shape == (1, model.trunk.channels(8), 6, 6)
    assert state["trunk"].shape == (1, model.trunk.channels(14), 3, 3)
    blind = {**state, "lateral": torch.zeros_like(state["lateral"])}
    seen, unseen = model.answer("exit2", state)[0], model.answer("exit2", blind)[0]
    changed = (seen.class_logits != unseen.class_logits).any(-1)[0]
    assert changed[:FIRST_LEVEL].all()
    assert not changed[FIRST_LEVEL:].any()


# Residual refinement


def test_residual_adds_to_the_answer_before():
    fresh, residual = variant("plain"), detector(RESIDUAL, FullConfig(refinement="residual"))
    copy_shared(fresh, residual)
    one, other = fresh(photos()), residual(photos())
    assert same(one["exit1"], other["exit1"])
    for part in (0, 1):
        torch.testing.assert_close(other["exit2"][part], one["exit1"][part] + one["exit2"][part])
        torch.testing.assert_close(other["full"][part], one["full"][part] + other["exit2"][part])


def test_an_untrained_residual_exit_does_not_add_the_object_prior_again():
    outputs = detector(RESIDUAL, FullConfig(refinement="residual"))(photos())
    share = [output.class_logits.softmax(-1)[..., 1:].sum(-1).mean().item() for output in outputs.values()]
    assert share == pytest.approx([OBJECT_PRIOR] * 3, rel=0.3)


def test_a_residual_exit_without_pyramid_keeps_the_answers_that_it_does_not_look_at():
    exits = {**RESIDUAL, "exit2": ExitConfig(14, channels=48, refinement="residual", pyramid=False)}
    outputs = detector(exits)(photos())
    for before, after in zip(outputs["exit1"], outputs["exit2"], strict=True):
        changed = (before != after).any(-1)
        own = slice(FIRST_LEVEL, FIRST_LEVEL + SECOND_LEVEL)
        assert changed[:, own].all()
        assert not changed[:, : own.start].any()
        assert not changed[:, own.stop :].any()


# Context


@pytest.mark.parametrize("kind", ["logits", "features"])
def test_context_begins_as_if_it_were_not_there(kind):
    without, model = variant("plain"), with_context(kind)
    copy_shared(without, model)
    one, other = without(photos()), model(photos())
    assert all(same(one[name], other[name]) for name in model.exit_names)


def test_context_of_logits_is_the_finest_levels_cell_by_cell():
    model = with_context("logits")
    state = model.advance("exit1", model.start(photos()))
    output, state = model.answer("exit1", state)
    assert state["context"].shape == (2, 6 * (CLASSES + 1), 6, 6)
    for row, column, anchor, label in ((0, 0, 0, 0), (1, 4, 5, 2), (5, 2, 3, 1)):
        said = output.class_logits[:, (row * 6 + column) * 6 + anchor, label]
        assert torch.equal(state["context"][:, anchor * (CLASSES + 1) + label, row, column], said)


def test_context_of_features_is_the_branch():
    model = with_context("features")
    branches = []
    model.exits["exit1"].branch.register_forward_hook(lambda module, inputs, output: branches.append(output))
    _, state = model.answer("exit1", model.advance("exit1", model.start(photos())))
    assert torch.equal(state["context"], branches[0])


# Input


@pytest.mark.parametrize(
    ("scaling", "mean", "std"),
    [("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ("symmetric", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))],
)
def test_images_are_scaled_as_configured(scaling, mean, std):
    model = CascadeDetector(ModelConfig(input=InputConfig(SIZE_PX, scaling=scaling), backbone=NARROW), CLASSES)
    expected = Normalize(mean, std)(photos().float() / 255)
    torch.testing.assert_close(model.normalise(photos()), expected)


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 64, SIZE_PX, dtype=torch.uint8), photos(1, 128)])
def test_images_of_another_size_are_refused(images):
    with pytest.raises(ValueError, match=r"images must be uint8 \[batch, 3, 96, 96\], got torch.uint8"):
        variant("static")(images)


def test_an_unknown_exit_is_refused():
    with pytest.raises(ValueError, match="exits must be among exit1, exit2, full, got exit3"):
        variant("plain")(photos(1), exits=("full", "exit3"))


def test_a_detector_needs_a_class():
    with pytest.raises(ValueError, match="classes must be at least 1, got 0"):
        CascadeDetector(ModelConfig(), 0)


# Precision and keeping


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_says_about_the_same(dtype):
    model, images = copy.deepcopy(variant("chained")), photos()
    expected = model(images)
    found = model.to(dtype)(images)
    assert model.grid.boxes.dtype == torch.float32
    for name, output in found.items():
        assert output.class_logits.dtype == output.box_deltas.dtype == dtype
        error = (output.class_logits.float() - expected[name].class_logits).abs().mean()
        assert error < 0.05 * expected[name].class_logits.std()


def test_autocast_says_about_the_same():
    model, images = copy.deepcopy(variant("chained")).train(), photos()
    expected = model(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(images, trunk_gradient={"exit1": 0.2})
        loss = sum(output.class_logits.square().mean() for output in found.values())
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    for name, output in found.items():
        error = (output.class_logits.float() - expected[name].class_logits).abs().mean()
        assert error < 0.1 * expected[name].class_logits.std()


def test_channels_last_says_the_same():
    model, images = copy.deepcopy(variant("chained")), photos()
    expected = model(images)
    found = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    for name, output in found.items():
        close(output, expected[name])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_a_detector_of_its_own(copied):
    model, images = variant("chained"), photos()
    twin = copied(model)
    expected = model(images)
    assert all(same(output, expected[name]) for name, output in twin(images).items())
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(same(output, expected[name]) for name, output in model(images).items())


def test_weights_load_with_weights_only():
    model, images = variant("chained"), photos()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert not any(name.split(".")[-1] in ("mean", "std", "boxes") for name in state)
    other = detector(*VARIANTS["chained"], seed=1)
    assert not same(other(images)["full"], model(images)["full"])
    other.load_state_dict(state)
    expected = model(images)
    assert all(same(output, expected[name]) for name, output in other(images).items())


def test_only_batch_norm_has_buffers():
    # An average of weights (EMA) averages buffers too, and would wear constants down by rounding; a constant that is
    # not in the checkpoint would then differ between a run that was killed and one that was not.
    names = {name.rsplit(".", 1)[-1] for name, _ in variant("chained").named_buffers()}
    assert names == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_detector_with_top_down_starts_as_one_without():
    without, model = variant("static"), detector({}, FullConfig(top_down=True))
    copy_shared(without, model)
    assert same(model(photos())["full"], without(photos())["full"])


def test_top_down_gives_each_of_the_two_finest_levels_what_the_coarser_one_sees():
    """Held to a head that is handed maps made by hand."""
    model, given = copy.deepcopy(variant("top down")), []
    handle = model.full.head.register_forward_pre_hook(lambda _, args: given.extend(args[0]))
    model(photos())
    handle.remove()
    plain = []
    for fuse in model.full.top_down:
        torch.nn.init.zeros_(fuse.project.weight)
    model.full.head.register_forward_pre_hook(lambda _, args: plain.extend(args[0]))
    model(photos())
    weights = [
        fuse.project.weight[:, :, 0, 0] @ fuse.narrow.weight[:, :, 0, 0] for fuse in variant("top down").full.top_down
    ]

    def projected(weight, coarse, cells: int):
        rows = torch.arange(cells) * coarse.shape[-1] // cells
        return torch.einsum("oc,bcyx->boyx", weight, coarse)[:, :, rows][:, :, :, rows]

    second = plain[1] + projected(weights[0], plain[2], plain[1].shape[-1])
    first = plain[0] + projected(weights[1], second, plain[0].shape[-1])
    for got, expected in zip(given, [first, second, *plain[2:]], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_anchors_have_the_scales_asked_for():
    scales = (0.1, 0.27, 0.44, 0.61, 0.78, 0.95, 1.0)
    model = CascadeDetector(ModelConfig(InputConfig(size_px=SIZE_PX), NARROW, anchor_scales=scales), CLASSES)
    assert torch.equal(model.grid.boxes, AnchorGrid(SIZE_PX, scales).boxes)
    assert not torch.equal(model.grid.boxes, AnchorGrid(SIZE_PX).boxes)
