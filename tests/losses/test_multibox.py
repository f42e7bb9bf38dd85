from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from cascade_exit.data.batch import Targets
from cascade_exit.losses import BACKGROUND, IGNORED, match_anchors, multibox_loss
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.output import ExitOutput

from .samples import clone, random_output, random_targets

ANCHORS = AnchorGrid(320).boxes
FEW_ANCHORS = torch.tensor([[32.0 * i, 0.0, 32.0 * i + 32, 32.0] for i in range(10)])


def torchvision_loss(output: ExitOutput, targets: Targets, counts: list[int]) -> dict[str, Tensor]:
    """`SSD.compute_loss` of the installed torchvision, on the same anchors and objects."""
    ssd = SimpleNamespace(box_coder=BoxCoder(weights=(10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3)
    rows, matches = [], []
    for image, count in enumerate(counts):
        boxes = targets.boxes[image, :count]
        rows.append({"boxes": boxes, "labels": targets.labels[image, :count]})
        none = torch.full((len(ANCHORS),), -1)
        matches.append(SSDMatcher(0.5)(box_iou(boxes, ANCHORS)) if count else none)
    head = {"bbox_regression": output.box_deltas, "cls_logits": output.class_logits}
    return SSD.compute_loss(ssd, rows, head, [ANCHORS] * len(counts), matches)


def our_loss(output: ExitOutput, targets: Targets, anchors: Tensor, **settings: float) -> dict[str, Tensor]:
    return multibox_loss(output, match_anchors(targets, anchors, 0.5), targets, anchors, **settings)


@pytest.mark.parametrize("counts", [[1], [3, 0, 12, 1], [0, 0], [0, 5], [40, 2]])
def test_values_and_gradients_equal_torchvisions_ssd(counts: list[int]) -> None:
    targets = random_targets(counts, seed=len(counts))
    ours = random_output(len(counts), len(ANCHORS), seed=1)
    theirs = clone(ours)
    loss, truth = our_loss(ours, targets, ANCHORS), torchvision_loss(theirs, targets, counts)
    torch.testing.assert_close(loss["classification"], truth["classification"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss["localization"], truth["bbox_regression"], atol=1e-5, rtol=1e-5)
    sum(loss.values()).backward()
    sum(truth.values()).backward()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-5)


def one_object(row: int = 0) -> Targets:
    """One object of label 1 exactly on an anchor."""
    return Targets(FEW_ANCHORS[row][None, None], torch.ones(1, 1, dtype=torch.int64), torch.zeros(1, 1) > 0)


def test_only_the_hardest_negatives_count() -> None:
    output = random_output(1, len(FEW_ANCHORS), labels=2)
    background_loss = F.cross_entropy(output.class_logits[0], torch.zeros(10, dtype=torch.int64), reduction="none")
    object_loss = F.cross_entropy(output.class_logits[0, :1], torch.tensor([1]))
    hardest = background_loss[1:].topk(2).values.sum()
    loss = our_loss(output, one_object(), FEW_ANCHORS, negatives_per_positive=2.0)
    torch.testing.assert_close(loss["classification"], object_loss + hardest)


def test_a_positive_is_not_counted_again_where_negatives_run_out() -> None:
    output = random_output(1, len(FEW_ANCHORS), labels=2)
    labels = torch.tensor([1] + [0] * 9)
    everything = F.cross_entropy(output.class_logits[0], labels, reduction="sum")
    loss = our_loss(output, one_object(), FEW_ANCHORS, negatives_per_positive=50.0)
    torch.testing.assert_close(loss["classification"], everything)


def test_negatives_of_empty_images_count_when_asked_for() -> None:
    targets = random_targets([0, 0])
    output = random_output(2, len(FEW_ANCHORS), labels=2)
    background = torch.zeros(2, 10, dtype=torch.int64)
    background_loss = F.cross_entropy(output.class_logits.transpose(1, 2), background, reduction="none")
    silent, asked = (our_loss(output, targets, FEW_ANCHORS, negatives_per_empty_image=n) for n in (0, 4))
    assert silent["classification"] == 0
    torch.testing.assert_close(asked["classification"], background_loss.topk(4, dim=1).values.sum())
    assert asked["localization"] == 0


def test_negatives_of_empty_images_leave_images_with_objects_alone() -> None:
    output = random_output(1, len(FEW_ANCHORS), labels=2)
    values = [our_loss(output, one_object(), FEW_ANCHORS, negatives_per_empty_image=n) for n in (0, 9)]
    assert values[0] == values[1]


def test_ignored_anchors_neither_count_nor_take_the_place_of_others() -> None:
    output = random_output(1, len(FEW_ANCHORS), labels=2)
    matches = torch.full((1, 10), BACKGROUND)
    matches[0, 0] = 0
    free = multibox_loss(output, matches, one_object(), FEW_ANCHORS, 2.0)
    background_loss = F.cross_entropy(output.class_logits[0], torch.zeros(10, dtype=torch.int64), reduction="none")
    order = (background_loss[1:].argsort(descending=True) + 1).tolist()
    matches[0, order[0]] = IGNORED
    loss = multibox_loss(output, matches, one_object(), FEW_ANCHORS, 2.0)
    expected = free["classification"] - background_loss[order[0]] + background_loss[order[2]]
    torch.testing.assert_close(loss["classification"], expected)
    loss["classification"].backward()
    assert output.class_logits.grad[0, order[0]].abs().sum() == 0
    assert output.class_logits.grad[0, order[2]].abs().sum() > 0


def test_a_perfect_answer_costs_nothing() -> None:
    targets = random_targets([2, 5], seed=3)
    matches = match_anchors(targets, ANCHORS, 0.5)
    labels = torch.stack([row[m.clamp(min=0)] for row, m in zip(targets.labels, matches, strict=True)]) * (matches >= 0)
    boxes = torch.stack([row[m.clamp(min=0)] for row, m in zip(targets.boxes, matches, strict=True)])
    deltas = torch.stack([BoxCoder((10.0, 10.0, 5.0, 5.0)).encode_single(image, ANCHORS) for image in boxes])
    output = ExitOutput(F.one_hot(labels, 4) * 100.0, deltas)
    loss = multibox_loss(output, matches, targets, ANCHORS)
    assert float(sum(loss.values()).detach()) < 1e-5


def test_one_overflowing_anchor_that_does_not_count_spoils_nothing() -> None:
    output = random_output(1, len(FEW_ANCHORS), labels=2)
    output.box_deltas.data[0, 5] = torch.inf
    loss = our_loss(output, one_object(), FEW_ANCHORS)
    sum(loss.values()).backward()
    assert torch.isfinite(sum(loss.values()))
    assert all(torch.isfinite(part.grad).all() for part in output)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_summed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    targets = random_targets([3, 0])
    half = random_output(2, len(ANCHORS), dtype=dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        loss = our_loss(half, targets, ANCHORS)
    exact = our_loss(clone(half, torch.float32), targets, ANCHORS)
    for name, value in loss.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=1e-6, rtol=1e-6)
    sum(loss.values()).backward()
    assert all(torch.isfinite(part.grad).all() for part in half)


def test_gradients_are_those_of_the_values() -> None:
    output = random_output(2, len(FEW_ANCHORS), labels=3, dtype=torch.float64)
    targets = random_targets([2, 0], classes=2)
    torch.autograd.gradcheck(
        lambda *parts: tuple(our_loss(ExitOutput(*parts), targets, FEW_ANCHORS).values()), tuple(output)
    )


def test_no_images_and_no_objects_give_zero_with_zero_gradient() -> None:
    no_rows = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool))
    no_images = Targets(torch.zeros(0, 1, 4), torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, 1) > 0)
    for targets in (no_rows, no_images):
        output = random_output(len(targets.labels), len(FEW_ANCHORS))
        total = sum(our_loss(output, targets, FEW_ANCHORS).values())
        total.backward()
        assert total == 0
        assert all((part.grad == 0).all() for part in output)
