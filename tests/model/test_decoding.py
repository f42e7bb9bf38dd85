from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from cascade_exit.data import InputConfig
from cascade_exit.model import AnchorGrid, DecodingConfig, Detections, ExitOutput, decode, decode_kept
from cascade_exit.model.boxes import decode_boxes, encode_boxes

GRID = AnchorGrid(96)
INPUT = InputConfig(size_px=96)
ANCHORS = len(GRID.boxes)
SQUARE = torch.tensor([[96, 96]])


def random_output(batch: int, classes: int, seed: int = 0) -> ExitOutput:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, ANCHORS, classes + 1, generator=generator)
    return ExitOutput(logits, torch.randn(batch, ANCHORS, 4, generator=generator))


def by_torchvision(output: ExitOutput, config: DecodingConfig, grid: AnchorGrid = GRID) -> list[dict[str, Tensor]]:
    ssd = SimpleNamespace(
        box_coder=BoxCoder(weights=(10.0, 10.0, 5.0, 5.0)),
        score_thresh=config.score_threshold,
        topk_candidates=config.candidates_per_class,
        nms_thresh=config.nms_iou,
        detections_per_img=config.detections_per_image,
    )
    heads = {"cls_logits": output.class_logits, "bbox_regression": output.box_deltas}
    batch = len(output.class_logits)
    return SSD.postprocess_detections(ssd, heads, [grid.boxes] * batch, [(grid.input_size_px,) * 2] * batch)


@pytest.mark.parametrize(
    "config",
    [
        DecodingConfig(),
        DecodingConfig(candidates_per_class=7),
        DecodingConfig(score_threshold=0.3),
        DecodingConfig(score_threshold=0.3, candidates_per_class=5, nms_iou=0.2, detections_per_image=6),
        DecodingConfig(nms_iou=1.0, detections_per_image=10_000),
        # So much is dropped that the best few anchors do not give as many detections as an image may have.
        DecodingConfig(nms_iou=0.01, detections_per_image=20),
        DecodingConfig(candidates_per_class=3, detections_per_image=14),
        DecodingConfig(candidates_per_class=100, nms_iou=0.05, detections_per_image=5),
    ],
)
@pytest.mark.parametrize("classes", [1, 5])
def test_finds_what_torchvisions_ssd_finds(config, classes):
    output = random_output(3, classes)
    found = decode(output, GRID, INPUT, SQUARE.repeat(3, 1), config)
    expected = by_torchvision(output, config)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours.scores) > 0
        assert torch.equal(ours.labels, theirs["labels"])
        torch.testing.assert_close(ours.scores, theirs["scores"])
        torch.testing.assert_close(ours.boxes, theirs["boxes"], rtol=0, atol=1e-3)


def test_finds_what_torchvisions_ssd_finds_among_91_labels():
    grid, size = AnchorGrid(320), torch.tensor([[320, 320]])
    generator = torch.Generator().manual_seed(3)
    logits = 1.5 * torch.randn(1, len(grid.boxes), 91, generator=generator)
    logits[..., 0] += 7
    # All anchors of one corner see one class, so that the best candidates lie on each other.
    logits[:, (grid.boxes[:, 2:] < 150).all(dim=1), 17] += 9
    output = ExitOutput(logits, torch.randn(1, len(grid.boxes), 4, generator=generator))
    ours = decode(output, grid, InputConfig(size_px=320), size)[0]
    theirs = by_torchvision(output, DecodingConfig(), grid)[0]
    assert len(ours.scores) == 100
    assert (ours.labels == 17).any()
    assert (ours.labels != 17).any()
    assert torch.equal(ours.labels, theirs["labels"])
    torch.testing.assert_close(ours.scores, theirs["scores"])
    torch.testing.assert_close(ours.boxes, theirs["boxes"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("most", [3, 40])
def test_of_equal_scores_the_first_anchor_is_taken(most):
    boxes = torch.rand(60, 2, generator=torch.Generator().manual_seed(4)) * 50
    boxes = torch.cat([boxes, boxes + 30], dim=1)
    output = says(boxes, torch.ones(60, dtype=torch.int64), torch.tensor([0.9, 0.5, 0.3]).repeat(20), classes=1)
    config = DecodingConfig(score_threshold=0.1, detections_per_image=most)
    found = decode(output, GRID, INPUT, SQUARE, config)[0]
    scores = output.class_logits[0].softmax(dim=-1)[:60, 1]
    order = scores.sort(descending=True, stable=True).indices
    kept: list[int] = []
    overlaps = box_iou(boxes, boxes)
    for anchor in order.tolist():
        if all(overlaps[anchor, other] <= config.nms_iou for other in kept):
            kept.append(anchor)
    torch.testing.assert_close(found.boxes, boxes[kept[:most]], rtol=0, atol=1e-3)


def says(boxes: Tensor, labels: Tensor, scores: Tensor, classes: int) -> ExitOutput:
    """An answer with these boxes at the first anchors, and background elsewhere."""
    probability = torch.full((ANCHORS, classes + 1), 1e-9)
    probability[:, 0] = 1.0
    rows = torch.arange(len(boxes))
    probability[rows, labels] = scores
    probability[rows, 0] = 1 - scores
    deltas = torch.zeros(ANCHORS, 4)
    deltas[rows] = encode_boxes(boxes, GRID.boxes[rows])
    return ExitOutput(probability.log()[None], deltas[None])


def greedy(boxes: Tensor, scores: Tensor, iou: float) -> list[int]:
    kept: list[int] = []
    overlaps = box_iou(boxes.double(), boxes.double())
    for index in scores.argsort(descending=True).tolist():
        if all(overlaps[index, other] <= iou for other in kept):
            kept.append(index)
    return kept


def test_overlaps_near_the_threshold_do_not_depend_on_the_class():
    # Pairs of boxes 40 px wide whose overlap is the threshold plus or minus about 1e-6. In float32 a class's
    # offset of thousands of pixels would leave three digits of their coordinates.
    torch.manual_seed(0)
    pairs, iou = 40, 0.55
    left, top = torch.rand(pairs, dtype=torch.float64) * 30, torch.rand(pairs, dtype=torch.float64) * 30
    shift = 40 * (1 - iou) / (1 + iou) + torch.linspace(-1e-4, 1e-4, pairs, dtype=torch.float64)
    first = torch.stack([left, top, left + 40, top + 40], dim=-1)
    second = first + torch.stack([shift, 0 * shift, shift, 0 * shift], dim=-1)
    scores = torch.rand(2) * 0.2 + 0.5
    dropped = 0
    for label in (1, 80):
        kept = []
        for one, other in zip(first, second, strict=True):
            output = says(torch.stack([one, other]).float(), torch.tensor([label, label]), scores, classes=80)
            every = decode(output, GRID, INPUT, SQUARE, DecodingConfig(score_threshold=0.1, nms_iou=1.0))[0]
            found = decode(output, GRID, INPUT, SQUARE, DecodingConfig(score_threshold=0.1, nms_iou=iou))[0]
            assert len(every.scores) == 2
            assert torch.equal(found.boxes, every.boxes[greedy(every.boxes, every.scores, iou)])
            kept.append(len(found.scores))
        assert set(kept) == {1, 2}
        dropped += kept.count(1)
    assert 10 < dropped < 70


def test_equal_boxes_of_two_classes_both_stay():
    boxes = torch.tensor([[10.0, 10.0, 40.0, 50.0]]).repeat(3, 1)
    output = says(boxes, torch.tensor([1, 2, 2]), torch.tensor([0.5, 0.9, 0.8]), classes=3)
    found = decode(output, GRID, INPUT, SQUARE, DecodingConfig(score_threshold=0.1))[0]
    assert found.labels.tolist() == [2, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.5]))


def single(box: list[float], input_config: InputConfig, original: tuple[int, int]) -> Tensor:
    output = says(torch.tensor([box], dtype=torch.float32), torch.tensor([1]), torch.tensor([0.9]), classes=1)
    found = decode(output, GRID, input_config, torch.tensor([original]), DecodingConfig(score_threshold=0.1))[0]
    assert found.boxes.shape == (1, 4)
    return found.boxes[0]


def test_stretched_input_goes_back_to_the_photo():
    box = single([24, 48, 72, 96], INPUT, original=(200, 400))
    torch.testing.assert_close(box, torch.tensor([100.0, 100.0, 300.0, 200.0]), rtol=0, atol=1e-3)


def test_letterboxed_input_goes_back_to_the_photo():
    # 200x400 becomes 48x96 with 24 rows of padding above and below.
    letterbox = InputConfig(size_px=96, resize="letterbox")
    box = single([24, 36, 72, 60], letterbox, original=(200, 400))
    torch.testing.assert_close(box, torch.tensor([100.0, 50.0, 300.0, 150.0]), rtol=0, atol=1e-3)
    # A box that reaches into the padding ends at the photo's edge.
    box = single([24, 6, 72, 90], letterbox, original=(200, 400))
    torch.testing.assert_close(box, torch.tensor([100.0, 0.0, 300.0, 200.0]), rtol=0, atol=1e-3)


def test_boxes_end_at_the_photo():
    box = single([-50, -50, 200, 300], INPUT, original=(48, 192))
    torch.testing.assert_close(box, torch.tensor([0.0, 0.0, 192.0, 48.0]))


def test_each_image_has_its_own_size_and_answer():
    output, sizes = random_output(3, 4), torch.tensor([[96, 96], [50, 200], [300, 120]])
    together = decode(output, GRID, INPUT, sizes)
    for index, found in enumerate(together):
        one = ExitOutput(output.class_logits[index : index + 1], output.box_deltas[index : index + 1])
        alone = decode(one, GRID, INPUT, sizes[index : index + 1])[0]
        assert all(torch.equal(a, b) for a, b in zip(found, alone, strict=True))
        assert (found.scores.diff() <= 0).all()
        assert (found.boxes[:, 2:].amax(0) <= sizes[index].flip(0)).all()


def test_answers_that_are_no_numbers_hold_nothing():
    logits, deltas = random_output(1, 3)
    answer, config = ExitOutput(logits * torch.nan, deltas), DecodingConfig(detections_per_image=5)
    assert len(decode(answer, GRID, INPUT, SQUARE, config)[0].scores) == 0


def test_nothing_found_is_an_empty_answer():
    logits = torch.zeros(2, ANCHORS, 4)
    logits[..., 0] = 20
    for found in decode(ExitOutput(logits, torch.zeros(2, ANCHORS, 4)), GRID, INPUT, SQUARE.repeat(2, 1)):
        assert isinstance(found, Detections)
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.labels.shape == (0,)
        assert found.labels.dtype == torch.int64


@pytest.mark.parametrize("classes", [1, 5])
def test_kept_logits_are_those_of_the_anchor_that_was_decoded(classes):
    output, sizes = random_output(3, classes), SQUARE.repeat(3, 1)
    config = DecodingConfig(score_threshold=0.2, detections_per_image=400)
    everything = decode(output, GRID, INPUT, sizes, config)
    several_classes = 0
    for image, (found, logits) in enumerate(decode_kept(output, GRID, INPUT, sizes, config)):
        assert all(torch.equal(a, b) for a, b in zip(found, everything[image], strict=True))
        assert len(logits) > 50
        # No two anchors have the same random logits, so a row tells its anchor.
        is_anchor = (output.class_logits[image][None] == logits[:, None]).all(dim=-1)
        assert (is_anchor.sum(dim=1) == 1).all()
        anchors = is_anchor.int().argmax(dim=1)
        several_classes += len(anchors) - len(anchors.unique())
        boxes = decode_boxes(output.box_deltas[image], GRID.boxes)[anchors].clamp(0, 96)
        torch.testing.assert_close(found.boxes, boxes)
        torch.testing.assert_close(found.scores, logits.softmax(dim=-1)[torch.arange(len(logits)), found.labels])
    assert (several_classes > 0) == (classes > 1)


def test_nothing_kept_has_no_logits():
    logits = torch.zeros(1, ANCHORS, 4)
    logits[..., 0] = 20
    kept = decode_kept(ExitOutput(logits, torch.zeros(1, ANCHORS, 4)), GRID, INPUT, SQUARE)[0]
    assert kept.logits.shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_answers_are_decoded_in_float32(dtype):
    output = ExitOutput(*(part.to(dtype) for part in random_output(1, 3)))
    found = decode(output, GRID, INPUT, SQUARE)[0]
    expected = decode(ExitOutput(*(part.float() for part in output)), GRID, INPUT, SQUARE)[0]
    assert found.scores.dtype == found.boxes.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_threshold": 1.0}, r"score_threshold must lie in \[0, 1\), got 1.0"),
        ({"nms_iou": 0.0}, r"nms_iou must lie in \(0, 1\], got 0.0"),
        ({"candidates_per_class": 0}, "candidates_per_class must be at least 1, got 0"),
        ({"detections_per_image": 0}, "detections_per_image must be at least 1, got 0"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        DecodingConfig(**settings)
