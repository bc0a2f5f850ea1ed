"""Honest files: made by PyTorch and Jittor, and by hand."""

from __future__ import annotations

import collections
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jld.checkpoint import read_checkpoint, read_training_state
from jld.errors import CheckpointError
from tests.checkpoint import files

DATA = Path(__file__).parent / "data"
TABLE = np.arange(24, dtype=np.float32).reshape(4, 6)
# What make_torch_files.py put in, written down here a second time.
EXPECTED = {
    "plain": TABLE,
    "tied": TABLE,
    "transposed": TABLE.T,
    "columns": TABLE[:, 1:3],
    "expanded": np.array([[2] * 5, [3] * 5], np.float32),
    "half": np.array([1.5, -2], np.float16),
    "bfloat": np.array([1.5, -2, 3.140625], np.float32),
    "double": np.array([1e-300]),
    "bool": np.array([True, False]),
    "scalar": np.array(7, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "counter": np.array(5, np.int64),
    "parameter": np.full((2, 2), 3, np.float32),
    **{kind: np.array([1, 2, 3], kind) for kind in ("int8", "uint8", "int16", "int32", "int64")},
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_same(state: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(state) == set(expected)
    for name, values in expected.items():
        assert state[name].dtype == values.dtype, name
        assert state[name].shape == values.shape, name
        np.testing.assert_array_equal(state[name], values, err_msg=name)
        assert state[name].flags.c_contiguous and state[name].flags.writeable, name


@pytest.mark.parametrize(("name", "file_format"), [("zip", "torch-zip"), ("legacy", "torch-legacy")])
def test_files_of_pytorch_give_every_type_and_layout(name, file_format):
    checkpoint = read_checkpoint(DATA / f"{name}.pth")
    assert checkpoint.file_format == file_format
    assert_same(checkpoint.state, EXPECTED)
    assert checkpoint.classes == ("ship", "plane")
    assert checkpoint.meta == {
        "CLASSES": ("ship", "plane"),
        "epoch": 3,
        "device": "cpu",
        "dtype": "torch.float32",
        "raw": b"xyz",
        "size": (1, 2),
    }
    assert "torch.ComplexFloatStorage" in checkpoint.skipped
    assert "__main__.Unknown" in checkpoint.skipped


def test_a_pickled_network_is_refused_with_its_class():
    with pytest.raises(CheckpointError, match=r"module\.pth.*torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_checkpoint(DATA / "module.pth")


def test_variables_pickled_by_jittor_are_read_without_jittor():
    checkpoint = read_checkpoint(DATA / "jittor.pkl")
    expected = {
        "float": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.ones(2, np.float16),
        "bool": np.array([True, True]),
        "scalar": np.array([3], np.float32),
        "bfloat": np.ones(3, np.float32),
    }
    assert_same(checkpoint.state, expected)
    assert checkpoint.skipped == []


def test_jdet_layout_gives_state_and_meta(tmp_path):
    array = np.arange(4, dtype=np.float32)
    body = files.dictionary(
        meta=files.plain({"jdet_version": "0.2", "epoch": 5, "config": {"model": {"type": "RetinaNet"}}}),
        model=files.dictionary(
            **{"backbone.conv1.weight": files.call("jittor", "jittor_core.Var", files.plain(array))}
        ),
        scheduler=files.plain({"base_lr": 0.1}),
        optimizer=files.dictionary(
            lr=files.plain(0.1), odd=files.call("jdet.optims", "Clip", files.plain(35))
        ),
    )
    checkpoint = read_checkpoint(write(tmp_path / "ckpt_5.pkl", files.program(body)))
    assert_same(checkpoint.state, {"backbone.conv1.weight": array})
    assert checkpoint.origin == "jdet"
    assert checkpoint.meta["epoch"] == 5
    assert checkpoint.meta["config"] == {"model": {"type": "RetinaNet"}}
    assert checkpoint.skipped == ["jdet.optims.Clip"]


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_state_is_read_from_every_pickle_protocol(tmp_path, protocol):
    state = {
        "fortran": np.asfortranarray(TABLE),
        "big_endian": TABLE.astype(">f4"),
        "zero_dim": np.array(2.5),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 2), np.float16),
    }
    meta = {
        "bytes": b"\x00\xff",
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, b=2),
        "none": None,
        "flags": (True, False),
        "float": 0.1,
        "large": -(1 << 100),
        "text": "Größe",
        "numpy": np.float64(2.5),
        "array": bytearray(b"ab"),
    }
    path = write(tmp_path / "x.pkl", pickle.dumps({"meta": meta, "state_dict": state}, protocol))
    checkpoint = read_checkpoint(path)
    expected = {name: values.astype(values.dtype.newbyteorder("=")) for name, values in state.items()}
    assert_same(checkpoint.state, expected)
    assert checkpoint.meta == meta
    assert checkpoint.skipped == []


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_may_be_compressed_and_names_do_not_decide(tmp_path, compression):
    data = files.torch_zip(
        files.dictionary(w=files.tensor()), {"0": np.arange(6, dtype="<f4").tobytes()}, compression
    )
    checkpoint = read_checkpoint(write(tmp_path / "weights.pkl", data))
    assert_same(checkpoint.state, {"w": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_big_endian_files_of_both_kinds(tmp_path):
    raw = np.arange(6, dtype=">f4").tobytes()
    body = files.dictionary(w=files.tensor())
    expected = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    zipped = write(tmp_path / "a.pth", files.torch_zip(body, {"0": raw}, byteorder=b"big"))
    legacy = write(tmp_path / "b.pth", files.torch_legacy(body, {"0": (6, raw)}, ">"))
    assert_same(read_checkpoint(zipped).state, expected)
    assert_same(read_checkpoint(legacy).state, expected)


def test_legacy_storage_views_and_shared_storages(tmp_path):
    view = files.plain(("view", 2, 4))
    body = files.dictionary(
        part=files.tensor(shape=(2, 2), strides=(2, 1), view=view),
        whole=files.tensor(view=files.plain(None)),
        last=files.tensor(shape=(), strides=(), offset=3, view=view),
    )
    raw = np.arange(6, dtype="<f4")
    path = write(tmp_path / "a.pth", files.torch_legacy(body, {"0": (6, raw.tobytes())}))
    expected = {"part": raw[2:].reshape(2, 2), "whole": raw.reshape(2, 3), "last": np.array(5, np.float32)}
    assert_same(read_checkpoint(path).state, expected)


def test_untyped_storages_take_their_type_from_the_tensor(tmp_path):
    parts = (
        files.plain("storage"),
        files.glob("torch.storage", "UntypedStorage"),
        *map(files.plain, ("0", "cpu", 6)),
    )
    identifier = pickle.MARK + b"".join(parts) + pickle.TUPLE + pickle.BINPERSID
    arguments = [
        identifier,
        *map(files.plain, (1, (2,), (1,), False)),
        files.call("collections", "OrderedDict"),
    ]

    def rebuilt(dtype: str) -> bytes:
        return files.call("torch._utils", "_rebuild_tensor_v3", *arguments, files.glob("torch", dtype))

    body = files.dictionary(small=rebuilt("uint16"), float8=rebuilt("float8_e4m3fn"))
    checkpoint = read_checkpoint(
        write(tmp_path / "a.pth", files.torch_zip(body, {"0": struct.pack("<3H", 7, 8, 9)}))
    )
    assert_same(checkpoint.state, {"small": np.array([8, 9], np.uint16)})
    assert "tensor of torch.float8_e4m3fn" in checkpoint.skipped


def test_wrappers_prefixes_and_strays_are_taken_off(tmp_path):
    inner = {"module.module.a": np.ones(2), "module.module.b": np.zeros(1)}
    content = {"epoch": 7, "model": {"state_dict": inner}}
    checkpoint = read_checkpoint(write(tmp_path / "a.pkl", pickle.dumps(content)))
    assert set(checkpoint.state) == {"a", "b"}
    assert checkpoint.meta == {"epoch": 7}
    mixed = {"module.a": np.ones(2), "b": np.ones(1), "version": 3, "names": np.array(["x", "y"])}
    checkpoint = read_checkpoint(write(tmp_path / "b.pkl", pickle.dumps(mixed)))
    assert set(checkpoint.state) == {"module.a", "b"}
    assert any(entry.startswith("version") for entry in checkpoint.skipped)
    assert any(entry.startswith("names") for entry in checkpoint.skipped)


@pytest.mark.parametrize(
    "keys", [("student", "teacher"), ("net", "epoch"), ("params", "params_ema"), ("params_ema",)]
)
def test_weights_are_found_under_the_keys_of_other_programs(tmp_path, keys):
    content = {key: {"backbone.a": np.full(1, float(place))} for place, key in enumerate(keys)} | {"lr": 0.1}
    state = read_checkpoint(write(tmp_path / "a.pkl", pickle.dumps(content))).state
    assert_same(state, {"backbone.a": np.zeros(1)})


def test_the_optimizer_is_not_read_with_the_weights(tmp_path):
    # What is no data there does not matter for the weights, but for resuming it does.
    content = {"meta": {}, "model": {"a": np.ones(2)}, "optimizer": {"objects": np.array([object], object)}}
    path = write(tmp_path / "a.pkl", pickle.dumps(content))
    assert set(read_checkpoint(path).state) == {"a"}
    with pytest.raises(CheckpointError, match=r"state\['optimizer'\]\['objects'\]"):
        read_training_state(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"sys_info".ljust(257, b"\0") + b"ustar" + bytes(250), "tar format"),
        (b"import torch\n", "neither a PyTorch file, a pickle nor a safetensors"),
        (pickle.dumps([1, 2]), "a list, not a dictionary"),
        (pickle.dumps({"epoch": 1, "lr": 0.1}), "'epoch', 'lr'"),
        (pickle.dumps({}), "no named arrays"),
    ],
)
def test_files_that_are_no_checkpoints_say_what_they_are(tmp_path, content, message):
    path = write(tmp_path / "model.pth", content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        assert str(path) in str(caught.value)
