"""A detector on photos, and kept models."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.data import ClassMap
from cascade_exit.model import CascadeDetector, DecodingConfig, ModelConfig
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.runs import UserError, build
from cascade_exit.runtime import Detector, load, read_kept_model, rounded_to_16_bit, write_kept_model

SMALL = {
    "input": {"size_px": 96},
    "backbone": {"width": 0.35},
    "exits": {"exit1": {"after": 8, "channels": 16, "depth": 1}},
}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = build(ModelConfig, SMALL)
    return Checkpoint(model, ClassMap(("chair", "tv")), DecodingConfig(), CascadeDetector(model, 2).state_dict())


@pytest.fixture
def kept(checkpoint, tmp_path):
    folder = tmp_path / "models" / "small"
    write_kept_model(folder, rounded_to_16_bit(checkpoint), {"licence": "CC0"})
    return folder


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)


def test_every_form_of_a_photo_gives_the_same(checkpoint, tmp_path):
    detector, pixels = Detector(checkpoint), photo()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    forms = [
        pixels,
        Image.fromarray(pixels),
        torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        np.flip(np.flip(pixels, axis=1).copy(), axis=1),  # runs backwards
        np.broadcast_to(pixels, pixels.shape),  # not to be written to
    ]
    expected = detector.every_exit(pixels)
    for form in forms:
        for name, found in detector.every_exit(form).items():
            assert torch.equal(found.boxes, expected[name].boxes)
    assert torch.equal(detector(pixels).scores, expected["full"].scores)
    assert (expected["full"].boxes[:, 2] <= 90).all()
    assert (expected["full"].boxes[:, 3] <= 120).all()


@pytest.mark.parametrize("wrong", [photo().astype(np.float32), photo()[..., 0], torch.zeros(3, 9, 9)])
def test_wrong_arrays_are_refused(checkpoint, wrong):
    with pytest.raises(TypeError, match="must be RGB uint8"):
        Detector(checkpoint)(wrong)


def test_kept_model_round_trip(checkpoint, kept):
    again = read_kept_model(kept)
    assert again.checkpoint.model == checkpoint.model
    assert again.checkpoint.class_map == checkpoint.class_map
    rounded = rounded_to_16_bit(checkpoint)
    assert all(torch.equal(again.checkpoint.state[name], rounded.state[name]) for name in rounded.state)
    assert again.description["licence"] == "CC0"
    # Half of 32 bit, and a header.
    weights = sum(v.numel() * (2 if v.is_floating_point() else 8) for v in rounded.state.values())
    assert (kept / "model.safetensors").stat().st_size < weights * 1.2
    found = load(kept)(photo())
    expected = Detector(rounded)(photo())
    assert torch.equal(found.boxes, expected.boxes)


def test_other_weights_than_described_are_refused(checkpoint, kept):
    other = Checkpoint(
        checkpoint.model,
        checkpoint.class_map,
        checkpoint.decoding,
        {name: value + 1 if value.is_floating_point() else value for name, value in checkpoint.state.items()},
    )
    description = (kept / "model.json").read_text()
    write_kept_model(kept, rounded_to_16_bit(other), {})
    (kept / "model.json").write_text(description)
    with pytest.raises(UserError, match="not the weights that model.json describes"):
        read_kept_model(kept)


def test_damaged_description(kept):
    (kept / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json: not readable as JSON"):
        read_kept_model(kept)


def test_a_later_schema_is_refused(kept):
    description = json.loads((kept / "model.json").read_text()) | {"schema_version": 99}
    (kept / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="schema_version is 99, this version reads 1"):
        read_kept_model(kept)


def test_weights_beyond_16_bit_are_refused(checkpoint):
    huge = {name: value * 1e9 if value.is_floating_point() else value for name, value in checkpoint.state.items()}
    with pytest.raises(UserError, match="not finite in 16 bit"):
        rounded_to_16_bit(Checkpoint(checkpoint.model, checkpoint.class_map, checkpoint.decoding, huge))
