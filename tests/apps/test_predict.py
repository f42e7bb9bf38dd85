"""What `predict` draws and writes."""

import json

import numpy as np
import pytest
from PIL import Image

import cascade_exit
from cascade_exit.data import Video
from cascade_exit.runtime import write_kept_model
from tests.data.test_video import make_clip
from tests.runtime.cascades import checkpoint


@pytest.fixture
def model(tmp_path):
    write_kept_model(tmp_path / "kept", checkpoint("plain"), {})
    return tmp_path / "kept"


@pytest.fixture
def predict(cli, model, tmp_path):
    """Runs `predict` with the model on a source."""
    return lambda source, *words: cli("predict", f"run={model}", f"source={source}", f"runs_root={tmp_path}", *words)


def test_every_photo_of_a_folder_is_drawn(predict, model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, suffix in enumerate(("jpg", "png", "webp")):
        Image.new("RGB", (120, 90), (80 * number, 120, 60)).save(photos / f"{number}.{suffix}")
    (photos / "notes.txt").write_text("no photo")
    answer = predict(photos, "score_threshold=0.01")
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in (answer.run / "figures").iterdir()) == ["0.jpg.png", "1.png.png", "2.webp.png"]
    found = json.loads((answer.run / "detections.json").read_text())
    expected = cascade_exit.load(model).every_exit(photos / "1.png")
    for name, one in expected.items():
        rows = found["1.png"][name]
        assert [row["score"] for row in rows] == pytest.approx([s for s in one.scores.tolist() if s >= 0.01], abs=1e-4)


def test_a_broken_photo_is_named_and_does_not_cost_the_others(predict, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (120, 90)).save(photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"no photo")
    Image.new("RGB", (120, 90)).save(photos / "c.jpg")
    answer = predict(photos)
    assert answer.code == 0, answer.err
    assert sorted(json.loads((answer.run / "detections.json").read_text())) == ["a.jpg", "c.jpg"]
    assert "2 picture(s)" in answer.err
    assert "left out" in answer.err
    assert "b.jpg" in answer.err
    for name in ("a.jpg", "c.jpg"):
        (photos / name).unlink()
    answer = predict(photos)
    assert answer.code == 1
    assert answer.errors[-1].endswith("b.jpg: not an image that can be read")


def test_every_frame_of_a_video_is_drawn_and_its_detections_are_those_of_the_frame(predict, model, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4")
    answer = predict(clip, "score_threshold=0.01")
    assert answer.code == 0, answer.err
    drawn = Video.open(answer.run / "figures" / "clip.mp4.mp4")
    assert drawn.rate == 10
    pictures = list(drawn.frames())
    assert len(pictures) == 3
    # A panel per exit, each showing its frame; the first frame is dark where the last is not.
    assert pictures[0].shape[1] > 2 * pictures[0].shape[0]
    assert pictures[2].mean() > pictures[0].mean() + 20
    found = json.loads((answer.run / "detections.json").read_text())
    assert list(found) == ["clip.mp4#0", "clip.mp4#1", "clip.mp4#2"]
    detector = cascade_exit.load(model)
    for number, frame in enumerate(Video.open(clip).frames()):
        for name, one in detector.every_exit(frame).items():
            scores = [row["score"] for row in found[f"clip.mp4#{number}"][name]]
            assert scores == pytest.approx([s for s in one.scores.tolist() if s >= 0.01], abs=1e-4)
    assert predict(clip, "score_threshold=0.01").run == answer.run


def test_a_device_that_is_not_there_is_one_line(predict, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    answer = predict(tmp_path / "photo.png", "device=gpu")
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith("device=gpu: cannot be used here (")


def test_what_cannot_be_read_is_one_line_and_leaves_nothing(predict, tmp_path):
    assert predict("nowhere.mp4").errors == ["source=nowhere.mp4: no such photo, folder or video"]
    (tmp_path / "empty").mkdir()
    assert (
        predict(tmp_path / "empty")
        .errors[0]
        .endswith("no photo in this folder; it reads .jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff")
    )
    pytest.importorskip("av")
    (tmp_path / "clip.mp4").write_bytes(np.random.default_rng(0).bytes(500))
    answer = predict(tmp_path / "clip.mp4")
    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "clip.mp4: cannot be read as a video" in answer.errors[0]
    assert not (tmp_path / "predict").exists()
