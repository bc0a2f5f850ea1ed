"""safetensors with text metadata."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from jld.checkpoint import read_checkpoint, read_safetensors, write_safetensors
from jld.errors import CheckpointError

ARRAYS = {
    "b": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "a": np.array(3, np.int64),
    "empty": np.zeros((0, 2), np.float16),
    "bool": np.array([True, False, True]),
    "big": np.arange(3, dtype=">f8"),
}
METADATA = {"classes": '["a", "ü"]', "jld_version": "0.1.0", "note": "x" * 1001}


def test_arrays_and_metadata_come_back_and_the_package_agrees(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, ARRAYS, METADATA)
    arrays, metadata = read_safetensors(path)
    theirs = load_file(path)
    assert metadata == METADATA
    with safe_open(path, "numpy") as stream:
        assert stream.metadata() == METADATA
    assert set(arrays) == set(ARRAYS) == set(theirs)
    for name, values in ARRAYS.items():
        for other in (arrays[name], theirs[name]):
            assert other.dtype == values.dtype.newbyteorder("=") and other.shape == values.shape
            np.testing.assert_array_equal(other, values)


def test_equal_input_gives_equal_bytes(tmp_path):
    contents = set()
    for index in range(8):
        path = tmp_path / f"{index}.safetensors"
        write_safetensors(path, dict(reversed(ARRAYS.items())) if index % 2 else ARRAYS, METADATA)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_data_start_at_a_multiple_of_eight(tmp_path):
    for extra in range(9):
        path = tmp_path / "w.safetensors"
        write_safetensors(path, ARRAYS, {"pad": "x" * extra})
        assert struct.unpack("<Q", path.read_bytes()[:8])[0] % 8 == 0


def test_bfloat16_becomes_float32_and_other_types_are_named(tmp_path):
    header = {
        "w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "f": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [4, 6]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "w.bin"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\x80\x3f\x20\xc0\x00\x00")
    checkpoint = read_checkpoint(path)
    np.testing.assert_array_equal(checkpoint.state["w"], np.array([1, -2.5], np.float32))
    assert checkpoint.skipped == ["f of type F8_E4M3"]
    with pytest.raises(CheckpointError, match="F8_E4M3"):
        read_safetensors(path)


def test_checkpoint_of_safetensors_parses_classes_and_keeps_foreign_text(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"module.w": np.ones(2)}, METADATA | {"metrics": "about 36 AP"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.classes == ("a", "ü")
    assert checkpoint.meta["metrics"] == "about 36 AP"
    assert (checkpoint.origin, checkpoint.file_format) == ("jld", "safetensors")
    assert set(checkpoint.state) == {"w"}


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="metadata 'epoch'"):
        write_safetensors(tmp_path / "w", {}, {"epoch": 3})
    with pytest.raises(CheckpointError, match="'names' holds"):
        write_safetensors(tmp_path / "w", {"names": np.array(["a"])}, {})
    assert not list(tmp_path.iterdir())


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, ARRAYS, METADATA)
    data = path.read_bytes()
    for length in (0, 4, 20, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"w\.safetensors"):
            read_safetensors(path)
