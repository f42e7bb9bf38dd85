"""One pass over a generated set, against detections and digests made without the trace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.data import ClassMap, CocoSet, ImageRecord, ImageStore, read_image, resize_image
from cascade_exit.evaluation import ImageTruth, image_quality, match_detections
from cascade_exit.model import CascadeDetector, DecodingConfig, ModelConfig, exit_costs, make_digest
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import UserError, build
from cascade_exit.runtime import Detector, detect_set, trace_set
from cascade_exit.trace import Trace, check_trace, read_trace, write_trace
from tests.model.networks import stir
from tests.trace.builder import assert_same

CLASSES = ClassMap(("chair", "tv"))
SIZES = [(60, 90), (96, 96), (120, 50), (70, 70), (40, 100)]
BATCH = 2
# Between the scores of the random network, so that exits differ in what they show.
SCORE = 0.0115


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    small = {
        "input": {"size_px": 96},
        "backbone": {"width": 0.35},
        "exits": {"exit1": {"after": 8, "channels": 16, "depth": 1}, "exit2": {"after": 14, "channels": 16}},
    }
    model = build(ModelConfig, small)
    network = CascadeDetector(model, len(CLASSES))
    stir(network)
    return Detector(Checkpoint(model, CLASSES, DecodingConfig(detections_per_image=30), network.state_dict()))


def make_record(folder: Path, place: int, image_id: int) -> ImageRecord:
    rng = np.random.default_rng(place)
    height, width = SIZES[place]
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2] //= 4
    path = folder / f"{place}.png"
    Image.fromarray(pixels).save(path)
    count = [2, 0, 3, 1, 2][place]
    corner = rng.random((count, 2), np.float32) * 10
    boxes = np.concatenate([corner, corner + 25], axis=1).astype(np.float32)
    return ImageRecord(
        image_id=image_id,
        path=path,
        width=width,
        height=height,
        group=str(image_id),
        boxes=boxes,
        labels=rng.integers(1, 3, count),
        crowd=np.arange(count) == 1,
        areas=np.full(count, 625, np.float32),
        difficulty="simple" if count else "empty",
        original_size=(3 * height, 3 * width),
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> CocoSet:
    folder = tmp_path_factory.mktemp("photos")
    return CocoSet(tuple(make_record(folder, place, 10 + 7 * place) for place in range(len(SIZES))), CLASSES)


@pytest.fixture(scope="module")
def trace(detector, images) -> Trace:
    return trace_set(detector, "0123abcd", "calibrate", images, ImageStore(), SCORE, batch_size=BATCH)


def test_detections_are_those_of_a_pass_over_the_set(detector, images, trace):
    by_exit = detect_set(detector, images, ImageStore(), batch_size=BATCH).detections_by_exit()
    assert list(trace.exits) == ["exit1", "exit2", "full"] == list(by_exit)
    ids = [record.image_id for record in images.records]
    for name, of_exit in trace.exits.items():
        table = of_exit.detections
        assert table.offsets[-1] == len(table.scores) == len(table.logits) > 0
        for image_id, ours in table.by_image_id(ids).items():
            theirs = by_exit[name][image_id]
            np.testing.assert_array_equal(ours.boxes, theirs.boxes)
            np.testing.assert_array_equal(ours.scores, theirs.scores)
            np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_scores_are_those_of_the_kept_logits(trace):
    for of_exit in trace.exits.values():
        table = of_exit.detections
        probability = torch.from_numpy(table.logits).softmax(dim=-1)[torch.arange(len(table.labels)), table.labels]
        np.testing.assert_allclose(table.scores, probability.numpy(), rtol=1e-6)


def test_digests_are_those_of_the_network(detector, images, trace):
    pixels = [torch.from_numpy(read_image(record.path).transpose(2, 0, 1).copy()) for record in images.records]
    inputs = torch.stack([resize_image(photo, detector.checkpoint.model.input) for photo in pixels])
    seen = 0
    for begin in range(0, len(inputs), BATCH):
        batch = inputs[begin : begin + BATCH].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            outputs = detector.network(batch)
        for name, output in outputs.items():
            expected = make_digest(output, detector.network.grid)
            ours = trace.exits[name].digest.of(slice(begin, begin + BATCH))
            for mine, theirs in zip(ours, expected, strict=True):
                assert torch.equal(mine, theirs)
            seen += len(expected.boxes)
    assert seen == 3 * len(trace)


def test_digests_can_be_learned_from(trace):
    weight = torch.ones(1, requires_grad=True)
    (trace.exits["full"].digest.logits * weight).sum().backward()
    assert weight.grad is not None


def test_quality_is_against_the_truth_of_the_set(detector, images, trace):
    truth = [ImageTruth.from_record(record) for record in images.records]
    by_exit = detect_set(detector, images, ImageStore(), batch_size=BATCH).detections_by_exit()
    assert_same(trace.truth, tuple(truth))
    assert trace.difficulties == ("simple", "empty", "simple", "simple", "simple")
    for name, of_exit in trace.exits.items():
        matches = match_detections(truth, by_exit[name], CLASSES.names)
        assert_same(of_exit.quality, image_quality(matches, SCORE))
        assert np.isnan(of_exit.quality.recall).tolist() == [False, True, False, False, False]
    false_positives = {int(each.quality.false_positives.sum()) for each in trace.exits.values()}
    assert len(false_positives) > 1


def test_the_header_says_what_was_traced(detector, images, trace, tmp_path):
    header = trace.header
    assert (header.model, header.data, header.role) == ("0123abcd", images.fingerprint, "calibrate")
    assert header.score_threshold == SCORE
    assert header.macs == {name: cost.macs for name, cost in exit_costs(detector.network).items()}
    assert 0 < header.macs["exit1"] < header.macs["exit2"] < header.macs["full"]
    write_trace(tmp_path / "trace.safetensors", trace)
    again = read_trace(tmp_path / "trace.safetensors")
    assert_same(again, trace)
    check_trace(again, model="0123abcd", data=images.fingerprint, classes=CLASSES.names)


def test_some_difficulties_are_none(detector, images):
    records = (images.records[0], replace(images.records[1], difficulty=None))
    trace = trace_set(detector, "0", "test", replace(images, records=records), ImageStore())
    assert trace.difficulties is None
    assert len(trace) == 2


def test_progress_is_shown_on_standard_error(detector, images, capsys):
    part = replace(images, records=images.records[:1])
    trace_set(detector, "0", "test", part, ImageStore(), progress=True)
    shown = capsys.readouterr()
    assert "Tracing" in shown.err
    assert shown.out == ""


def test_a_set_that_cannot_be_traced_is_refused(detector, images):
    with pytest.raises(UserError, match="the test role has no image"):
        trace_set(detector, "0", "test", replace(images, records=()), ImageStore())
    other = replace(images, class_map=ClassMap(("tv", "chair")))
    with pytest.raises(UserError, match="classes are not the set's: chair, tv against tv, chair"):
        trace_set(detector, "0", "test", other, ImageStore())
