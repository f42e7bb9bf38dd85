from pathlib import Path

import pytest
import torch

from cascade_exit.model import CascadeDetector, DecodingConfig, FullConfig
from cascade_exit.model.checkpoint import detector_state, read_checkpoint, read_state_file
from cascade_exit.runs import UserError, to_plain

from .networks import TABLE_075, TWO_EXITS, BackboneConfig, detector, photos

NAMES = ["chair", "couch"]


def write(path: Path, model: CascadeDetector, decoding: DecodingConfig = DecodingConfig()) -> Path:
    """A checkpoint as a training loop leaves it: the detector among other modules, settings as plain values."""
    state = {f"detector.{name}": value for name, value in model.state_dict().items()}
    content = {
        "state_dict": {**state, "criterion.scale": torch.ones(1)},
        "hyper_parameters": {"model": to_plain(model.config), "classes": NAMES, "decoding": to_plain(decoding)},
        "epoch": 3,
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("backbone", [BackboneConfig(width=0.35), BackboneConfig(table=TABLE_075)])
def test_a_checkpoint_gives_back_the_detector(tmp_path, backbone):
    model = detector(TWO_EXITS, FullConfig(context="logits", refinement="residual"), backbone)
    decoding = DecodingConfig(score_threshold=0.2, detections_per_image=7)
    checkpoint = read_checkpoint(write(tmp_path / "last.ckpt", model, decoding))
    assert checkpoint.model == model.config
    assert checkpoint.class_map.to_list() == NAMES
    assert checkpoint.decoding == decoding
    again = checkpoint.detector()
    assert not again.training
    expected = model(photos())
    for name, output in again(photos()).items():
        assert all(torch.equal(a, b) for a, b in zip(output, expected[name], strict=True))


def test_the_detector_is_cut_out_of_the_training_module():
    state = {"detector.trunk.a": torch.ones(1), "criterion.detector.b": torch.ones(1), "detector2.c": torch.ones(1)}
    assert list(detector_state(state)) == ["trunk.a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not readable as weights"),
        (b"no tensors in here", "not readable as weights"),
        (None, "no such file; expected weights"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_state_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(1), "code": Harmful(tmp_path / "ran")}, path)
    with pytest.raises(UserError, match="not readable as weights"):
        read_state_file(path)
    assert not (tmp_path / "ran").exists()


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_cut_off_file_is_one_clear_line(tmp_path):
    path = write(tmp_path / "last.ckpt", detector({}))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="not readable as weights"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "expected a dict of tensors, got list"),
        ({"features.0.0.weight": torch.ones(1)}, "not a checkpoint of this project"),
        ({"state_dict": {}, "hyper_parameters": {"model": {}}}, "not a checkpoint of this project"),
    ],
)
def test_weights_of_something_else_are_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(UserError, match=message):
        read_checkpoint(path)
