import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from cascade_exit.runs import UserError
from cascade_exit.trace import file as trace_file
from cascade_exit.trace import read_trace, write_trace

from .builder import assert_same, random_trace


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(0, 7),
    most=st.sampled_from([0, 1, 6]),
    best=st.sampled_from([0, 1, 5]),
    exits=st.integers(1, 3),
    sized=st.booleans(),
)
def test_what_is_written_is_read(seed, images, most, best, exits, sized):
    trace = random_trace(seed, images, most, best, exits, sized)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.safetensors"
        write_trace(path, trace)
        assert_same(read_trace(path), trace)
        assert os.listdir(folder) == ["trace.safetensors"]


def test_arrays_stay_usable_when_the_file_is_gone(tmp_path):
    trace, path = random_trace(3, 6), tmp_path / "trace.safetensors"
    write_trace(path, trace)
    again = read_trace(path)
    path.write_bytes(b"something else")
    assert_same(again, trace)
    assert again.exits["full"].detections.boxes.flags.writeable


def test_arrays_in_another_order_of_memory_are_written_right(tmp_path):
    trace, path = random_trace(4, 6), tmp_path / "trace.safetensors"
    table = trace.exits["full"].detections
    object.__setattr__(table, "boxes", np.asfortranarray(table.boxes))
    object.__setattr__(table, "logits", table.logits[::-1][::-1])
    write_trace(path, trace)
    assert_same(read_trace(path), trace)


@pytest.fixture
def written(tmp_path) -> Path:
    path = tmp_path / "trace.safetensors"
    write_trace(path, random_trace(5, 6))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_trace(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.safetensors")


def test_a_file_cut_off_anywhere(written):
    content = written.read_bytes()
    for size in [0, 5, 8, 100, len(content) // 2, len(content) - 1]:
        written.write_bytes(content[:size])
        assert "damaged" in refusal(written)


def test_a_bit_turned_anywhere(written):
    content = written.read_bytes()
    # Spread over the length, the header and the arrays.
    for place in [0, 7, *range(8, len(content), len(content) // 150)]:
        damaged = bytearray(content)
        damaged[place] ^= 1
        written.write_bytes(damaged)
        refusal(written)


def test_values_exchanged_between_arrays_of_one_shape(written):
    header, arrays = metadata(written), load_file(written)
    one, other = "exits/exit1/quality/recall", "exits/exit1/quality/f1"
    arrays[one], arrays[other] = arrays[other], arrays[one]
    save_file(arrays, written, header)
    assert "damaged" in refusal(written)


def metadata(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version(written, version):
    header = json.loads(metadata(written)["trace"]) | {"schema_version": version}
    save_file(load_file(written), written, metadata(written) | {"trace": json.dumps(header)})
    assert f"schema_version is {version}, this version reads {trace_file.SCHEMA_VERSION}" in refusal(written)


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}"])
def test_a_header_that_cannot_be_read(written, text):
    save_file(load_file(written), written, metadata(written) | {"trace": text})
    assert "its header is not readable" in refusal(written)


def test_another_safetensors_file(tmp_path):
    path = tmp_path / "model.safetensors"
    for more in (None, {"format": "pt"}):
        save_file({"weight": np.zeros(3)}, path, more)
        assert "a safetensors file, but not a trace" in refusal(path)


def test_a_file_that_is_no_safetensors_file(tmp_path):
    path = tmp_path / "trace.safetensors"
    path.write_text("image_id,score\n" * 30)
    assert "damaged" in refusal(path)
    path.unlink()
    path.mkdir()
    assert "no such file" in refusal(path)


def test_a_failed_write_leaves_the_old_trace(written, monkeypatch):
    old = written.read_bytes()

    def full_disk(arrays, path, header):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(trace_file, "save_file", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_trace(written, random_trace(6, 3))
    assert written.read_bytes() == old
    assert os.listdir(written.parent) == [written.name]


def test_the_header_says_what_the_trace_belongs_to(written):
    header = json.loads(metadata(written)["trace"])
    trace = read_trace(written)
    assert header["model"] == trace.header.model
    assert header["classes"] == list(trace.header.classes)
    assert set(header) == {
        "schema_version", "model", "data", "role", "classes", "exit_names", "score_threshold", "macs", "difficulties",
    }  # fmt: skip
    assert written.stat().st_mode & 0o044
