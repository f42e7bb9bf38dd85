import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou, nms

from cascade_exit.model import Digest, label_probabilities
from cascade_exit.policies.overlaps import NMS_IOU, pairwise_iou, top_boxes


def random_digest(seed: int, images: int = 3, anchors: int = 30, classes: int = 3, ties: bool = False) -> Digest:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, anchors, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 20 + torch.rand(images, anchors, 2, generator=generator) * 60], dim=-1)
    logits = 3 * torch.randn(images, anchors, classes + 1, generator=generator)
    if ties:
        logits = logits.round()
    order = label_probabilities(logits)[..., 1:].amax(-1).sort(descending=True, stable=True).indices[..., None]
    scalars = torch.rand(2, images, generator=generator)
    return Digest(boxes.gather(1, order.expand(-1, -1, 4)), logits.gather(1, order.expand_as(logits)), *scalars)


def test_overlap_is_that_of_torchvision() -> None:
    one, two = random_digest(0).boxes, random_digest(1, anchors=20).boxes
    for mine, boxes, others in zip(pairwise_iou(one, two), one, two, strict=True):
        torch.testing.assert_close(mine, box_iou(boxes, others))


def test_boxes_without_area_overlap_nothing() -> None:
    point = torch.tensor([[[5.0, 5.0, 5.0, 5.0]]])
    assert pairwise_iou(point, point).item() == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.sampled_from([1, 3]), ties=st.booleans())
@example(seed=354748, classes=3, ties=True)  # a tie that another softmax breaks
def test_suppression_is_that_of_torchvision(seed: int, classes: int, ties: bool) -> None:
    digest = random_digest(seed, classes=classes, ties=ties)
    found = top_boxes(digest)
    for image in range(3):
        scores, labels = label_probabilities(digest.logits[image])[:, 1:].max(-1)
        kept = torch.zeros(30, dtype=torch.bool)
        for label in range(classes):
            own = (labels == label).nonzero()[:, 0]
            # Equal scores: the one that comes first, as a stable sort has it.
            own = own[scores[own].sort(descending=True, stable=True).indices]
            falling = torch.arange(len(own), 0, -1).float()
            kept[own[nms(digest.boxes[image, own], falling, NMS_IOU)]] = True
        torch.testing.assert_close(found.scores[image], scores * kept)
        assert torch.equal(found.scores[image] > 0, kept)
        assert torch.equal(found.labels[image], labels + 1)


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]])
    wide = boxes.clone()
    wide[..., 2] += 10  # neighbours overlap by 16 / 24, ends by 12 / 28
    logits = torch.tensor([[[0.0, 3.0], [0.0, 2.0], [0.0, 1.0]]])
    found = top_boxes(Digest(wide, logits, torch.zeros(1), torch.zeros(1)))
    assert (found.scores > 0).tolist() == [[True, False, True]]
