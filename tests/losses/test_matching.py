import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import SSDMatcher
from torchvision.ops import box_iou

from cascade_exit.data.batch import Targets, pad_targets
from cascade_exit.losses import BACKGROUND, IGNORED, match_anchors
from cascade_exit.model.anchors import AnchorGrid

from .samples import random_targets

# Coordinates on a coarse lattice: equal IoUs, several objects on one anchor, and objects beside all anchors are common.
lattice_box = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 4)] * 2).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
# Box, label (0 is padding, anywhere in the row) and crowd.
lattice_object = st.tuples(lattice_box, st.integers(0, 2), st.sampled_from([False, False, True]))
lattice_images = st.integers(0, 5).flatmap(
    lambda objects: st.lists(st.lists(lattice_object, min_size=objects, max_size=objects), min_size=1, max_size=3)
)


def as_targets(images: list[list[tuple]]) -> Targets:
    shape = (len(images), len(images[0]))
    return Targets(
        boxes=torch.tensor([[box for box, _, _ in image] for image in images], dtype=torch.float32).reshape(*shape, 4),
        labels=torch.tensor([[label for _, label, _ in image] for image in images], dtype=torch.int64).reshape(shape),
        crowd=torch.tensor([[crowd for _, _, crowd in image] for image in images], dtype=torch.bool).reshape(shape),
    )


def torchvision_matches(boxes: Tensor, rows: Tensor, anchors: Tensor, threshold: float) -> Tensor:
    """What torchvision's SSD matches in one image, as rows of the padded targets."""
    if len(boxes) == 0:
        return torch.full((len(anchors),), -1)
    matches = SSDMatcher(threshold)(box_iou(boxes, anchors))
    return torch.where(matches >= 0, rows[matches.clamp(min=0)], -1)


def in_crowd_by_hand(anchor: list[float], crowds: list[list[float]]) -> bool:
    area = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
    for crowd in crowds:
        width = min(anchor[2], crowd[2]) - max(anchor[0], crowd[0])
        height = min(anchor[3], crowd[3]) - max(anchor[1], crowd[1])
        if max(width, 0) * max(height, 0) / area >= 0.5:
            return True
    return False


def expected(targets: Targets, anchors: Tensor, threshold: float) -> Tensor:
    images = []
    for boxes, labels, crowd in zip(targets.boxes, targets.labels, targets.crowd, strict=True):
        rows = torch.nonzero((labels > 0) & ~crowd)[:, 0]
        matches = torchvision_matches(boxes[rows], rows, anchors, threshold)
        crowds = boxes[crowd].tolist()
        for index, anchor in enumerate(anchors.tolist()):
            if matches[index] < 0 and in_crowd_by_hand(anchor, crowds):
                matches[index] = IGNORED
        images.append(matches)
    return torch.stack(images)


@settings(deadline=None, max_examples=200)
@given(
    images=lattice_images,
    anchors=st.lists(lattice_box, min_size=1, max_size=12),
    threshold=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_equals_torchvisions_matcher_on_ties_duplicates_crowds_and_padding(
    images: list[list[tuple]], anchors: list[tuple], threshold: float
) -> None:
    targets, boxes = as_targets(images), torch.tensor(anchors, dtype=torch.float32)
    assert torch.equal(match_anchors(targets, boxes, threshold), expected(targets, boxes, threshold))


@pytest.mark.parametrize("seed", range(3))
def test_equals_torchvisions_matcher_on_ssdlites_anchors(seed: int) -> None:
    anchors = AnchorGrid(320).boxes
    counts = [0, 1, 40, 7]
    targets = random_targets(counts, seed)
    matches = match_anchors(targets, anchors, 0.5)
    for image, count in enumerate(counts):
        truth = torchvision_matches(targets.boxes[image, :count], torch.arange(count), anchors, 0.5)
        assert torch.equal(matches[image], truth)
    assert (matches[2] >= 0).sum() > 40


def test_every_object_gets_an_anchor_however_small_it_is() -> None:
    targets = pad_targets([torch.tensor([[100.0, 100.0, 103.0, 102.0]])], [torch.tensor([1])], [torch.tensor([False])])
    assert (match_anchors(targets, AnchorGrid(320).boxes, 0.5) == 0).sum() == 1


def test_an_iou_equal_to_the_threshold_is_enough() -> None:
    targets = pad_targets([torch.tensor([[0.0, 0.0, 8.0, 8.0]])], [torch.tensor([1])], [torch.tensor([False])])
    anchors = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 4.0], [0.0, 0.0, 8.0, 3.9]])
    assert match_anchors(targets, anchors, 0.5).tolist() == [[0, 0, BACKGROUND]]


def test_the_last_of_several_objects_gets_the_anchor_they_all_want() -> None:
    twins = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)
    targets = pad_targets([twins], [torch.tensor([1, 2, 3])], [torch.zeros(3, dtype=torch.bool)])
    assert match_anchors(targets, torch.tensor([[0.0, 0.0, 10.0, 12.0]]), 0.5).tolist() == [[2]]


def test_anchors_half_in_a_crowd_are_ignored_unless_they_are_positive() -> None:
    crowd, chair = [0.0, 0.0, 100.0, 100.0], [10.0, 10.0, 30.0, 30.0]
    targets = pad_targets([torch.tensor([crowd, chair])], [torch.tensor([1, 1])], [torch.tensor([True, False])])
    anchors = torch.tensor(
        [
            [10.0, 10.0, 30.0, 30.0],  # the chair, inside the crowd
            [50.0, 50.0, 60.0, 60.0],  # inside the crowd
            [90.0, 0.0, 110.0, 10.0],  # half of it
            [91.0, 0.0, 111.0, 10.0],  # a little less
            [0.0, 0.0, 100.0, 100.0],  # the crowd itself: never a positive
        ]
    )
    assert match_anchors(targets, anchors, 0.5).tolist() == [[1, IGNORED, IGNORED, BACKGROUND, IGNORED]]


def test_no_objects_at_all() -> None:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    no_rows = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool))
    only_padding = random_targets([0, 0])
    for targets in (no_rows, only_padding):
        assert match_anchors(targets, anchors, 0.5).tolist() == [[BACKGROUND], [BACKGROUND]]
