"""Frames of a video."""

import sys

import numpy as np
import pytest

from cascade_exit.data import Video
from cascade_exit.runs import UserError


def make_clip(path, rotation=0):
    """Three frames of 64x48 at ten a second, brighter from frame to frame, with a red left half."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(rotation)
        for brightness in (0, 60, 120):
            frame = np.full((48, 64, 3), brightness, np.uint8)
            frame[:, :32, 0] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_come_in_order_as_rgb(tmp_path):
    video = Video.open(make_clip(tmp_path / "clip.mp4"))
    assert (video.rate, video.count) == (10, 3)
    frames = list(video.frames())
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert [round(frame[:, 40:].mean(), -1) for frame in frames] == [0, 60, 120]
    assert frames[0][:, :24, 0].mean() > 200
    assert frames[0][:, :24, 1:].mean() < 40


def test_a_turned_camera_gives_upright_frames(tmp_path):
    # A quarter turn against the clock brings the left side to the bottom.
    frame = next(Video.open(make_clip(tmp_path / "clip.mp4", rotation=90)).frames())
    assert frame.shape == (64, 48, 3)
    assert frame[40:, :, 0].mean() > 200 > 40 > frame[:24, :, 0].mean()


def test_a_damaged_file_is_one_line(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "clip.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(UserError, match=r"clip\.mp4: cannot be read as a video \(Invalid data"):
        Video.open(tmp_path / "clip.mp4")


def test_without_av_the_way_on_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'cascade_exit\[video\]'"):
        Video.open(tmp_path / "clip.mp4")
