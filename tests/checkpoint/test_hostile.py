"""Files made to harm: each gives one sentence that names the file, in little time, and nothing runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jld.checkpoint import pickle_machine, read_checkpoint, read_safetensors
from jld.errors import CheckpointError
from tests.checkpoint import files

RAW = np.arange(6, dtype="<f4").tobytes()


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.reduction = function, arguments

    def __reduce__(self) -> tuple:
        return self.reduction


CALLS = {
    "os.system": lambda canary: Calls(os.system, f"touch {canary}"),
    "subprocess.Popen": lambda canary: Calls(subprocess.Popen, ["touch", str(canary)]),
    "builtins.eval": lambda canary: Calls(eval, f"open({str(canary)!r}, 'w')"),
    "builtins.exec": lambda canary: Calls(exec, f"open({str(canary)!r}, 'w')"),
    "io.open": lambda canary: Calls(open, str(canary), "w"),
    "pickle.loads": lambda canary: Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {canary}"))),
}


def test_the_calls_would_really_run(canary):
    pickle.loads(pickle.dumps(CALLS["builtins.eval"](canary)))
    assert canary.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", CALLS)
def test_calls_of_programs_are_refused(refuse, canary, name, protocol):
    weights = {"a": np.ones(2)}
    for content in (CALLS[name](canary), {"state_dict": weights | {"b": CALLS[name](canary)}}):
        data = pickle.dumps(content, protocol)
        assert "runs programs" in refuse(data)
        body = data[2:-1] if protocol == 2 else pickle.dumps(content, 2)[2:-1]
        assert "runs programs" in refuse(files.torch_zip(body, {}))
        assert "runs programs" in refuse(files.torch_legacy(body, {}))


RAW_PROGRAMS = {
    "INST": b"(S'touch canary'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch canary'\no.",
    "NEWOBJ": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04\x8c\nsubprocess\x8c\x05Popen\x93\x8c\x04true\x85}\x92.",
    "python 2 builtin": b"\x80\x02c__builtin__\neval\nU\x011\x85R.",
    "nested name": b"\x80\x04\x8c\x08builtins\x8c\x10eval.__self__.xx\x93\x8c\x011\x85R.",
    "submodule": b"\x80\x02cimportlib.util\nmodule_from_spec\nN\x85R.",
}


@pytest.mark.parametrize("name", RAW_PROGRAMS)
def test_every_opcode_that_calls_is_refused(refuse, name):
    assert "runs programs" in refuse(RAW_PROGRAMS[name])


def nested_tuples(depth: int) -> bytes:
    return b"\x80\x02)" + b"\x85" * depth


ODD_PICKLES = {
    "extension code": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "out-of-band buffer": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    "persistent text": (b"(Pabc\n.", "outside the file"),
    "persistent value": (b"\x80\x02N\x51.", "outside the file"),
    "call of text": (b"\x80\x02U\x02os)R.", "not a name"),
    "global named by numbers": (b"\x80\x04K\x01K\x02\x93.", "not text"),
    "empty stack": (b"\x80\x02.", "not there"),
    "pop across a mark": (b"\x80\x02(.", "not there"),
    "unopened group": (b"\x80\x02u.", "never opened"),
    "unknown memo": (b"\x80\x02h\x07.", "never stored"),
    "unknown opcode": (b"\x80\x02\xff.", "damaged"),
    "no stop": (b"\x80\x02}", "pickle exhausted|truncated"),
    "attributes of a name": (b"\x80\x02ctorch\nfloat32\n}b.", "attributes"),
    "attributes of a list": (b"\x80\x02]}b.", "attributes"),
    "items of a name": (b"\x80\x02ctorch\nfloat32\nNNs.", "not a dictionary"),
    "items of a list": (b"\x80\x02]NNs.", "not a dictionary"),
    "append to a dict": (b"\x80\x02}Na.", "not a list"),
    "list as key": (b"\x80\x02}]Ns.", "key or set member is a list"),
    "nested tuple as key": (b"\x80\x02})\x85\x85Ns.", "key or set member is a tuple"),
    "list in a set": (b"\x80\x04\x8f(]\x90.", "key or set member is a list"),
    "huge integer as key": (b"\x80\x02}" + pickle.dumps(1 << 90, 2)[2:-1] + b"Ns.", "huge integer"),
    "frame beyond the end": (b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f}.", "no named arrays"),
    "long bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 46) + b"x.", "more data than it holds"),
    "long bytearray": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 46) + b"x.", "more data than it holds"),
    "long text": (b"\x80\x02X" + struct.pack("<I", 1 << 31) + b"x.", "more data than it holds"),
    "long integer": (b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x.", "more data than it holds"),
    "high memo index": (b"\x80\x02}r\xff\xff\xff\xff.", "no named arrays"),
    "digits": (b"(I" + b"9" * 9000 + b"\n.", "damaged"),
    "bytes by number": (b"\x80\x03cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "bytes in a way"),
    "bytes by codec": (b"\x80\x02c_codecs\nencode\nU\x01aU\x03hex\x86R.", "bytes in a way"),
}


@pytest.mark.parametrize("name", ODD_PICKLES)
def test_odd_opcodes_are_refused(refuse, name):
    data, message = ODD_PICKLES[name]
    assert any(part in refuse(data, ".pkl") for part in message.split("|"))


def in_meta(body: bytes) -> bytes:
    """A pickle whose weights are fine and whose meta is not."""
    return files.program(
        files.dictionary(meta=files.dictionary(x=body), model=files.plain({"a": np.ones(2)}))
    )


BOMBS = {
    "deep lists": (in_meta(b"]" * 100_000 + b"a" * 99_999), "nested more than"),
    "deep tuples": (in_meta(b")" + b"\x85" * 100_000), "nested more than"),
    "doubling": (in_meta(b")" + b"2\x86" * 60), "unfolds to more than"),
    "cycle": (in_meta(b"]q\x00h\x00a"), "contains itself"),
    "copies of a list": (
        in_meta(b"](" + b"N" * 100_000 + b"eq\x00(" + b"c__builtin__\ntuple\nh\x00\x85R" * 60 + b"l"),
        "takes more than",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_unfold_without_end_are_refused(refuse, name):
    data, message = BOMBS[name]
    assert message in refuse(data, ".pkl")


def test_a_program_without_end_is_stopped(refuse, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MAX_STEPS", 1000)
    assert "1000 steps" in refuse(b"\x80\x02" + b"N0" * 1000 + b".", ".pkl")


def numpy_array(shape: object, spelling: str = "f4", raw: object = bytes(24)) -> bytes:
    dtype = files.call("numpy", "dtype", *map(files.plain, (spelling, False, True)))
    dtype += files.plain((3, "<", None, None, None, -1, -1, 0)) + pickle.BUILD
    arguments = (files.glob("numpy", "ndarray"), files.plain((0,)), files.plain("b"))
    empty = files.call("numpy.core.multiarray", "_reconstruct", *arguments)
    fields = (files.plain(1), files.plain(shape), dtype, files.plain(False), files.plain(raw))
    return empty + pickle.MARK + b"".join(fields) + pickle.TUPLE + pickle.BUILD


BAD_ARRAYS = {
    "short data": (numpy_array((7,)), "do not make up"),
    "negative size": (numpy_array((-6,)), "non-negative"),
    "overflowing size": (numpy_array((1 << 62, 4)), "non-negative 62-bit"),
    "wrapping product": (numpy_array((1 << 61, 1 << 61, 1 << 61)), "do not make up"),
    "fractional size": (numpy_array((6.0,)), "non-negative"),
    "many axes": (numpy_array((1,) * 100), "short sequence"),
    "no shape": (numpy_array(6), "short sequence"),
    "data is a list": (numpy_array((6,), raw=[1, 2]), "do not make up"),
    "objects": (numpy_array((2,), "O8", [None, None]), "no named arrays|not data"),
    "records": (numpy_array((2,), "V8"), "no named arrays|not data"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_lying_numpy_arrays_are_refused(refuse, name):
    body, message = BAD_ARRAYS[name]
    data = files.program(files.dictionary(meta=files.plain({}), model=files.dictionary(a=body)))
    assert any(part in refuse(data, ".pkl") for part in message.split("|"))


def test_the_hand_made_array_is_otherwise_right(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(files.program(files.dictionary(a=numpy_array((6,), raw=RAW))))
    np.testing.assert_array_equal(read_checkpoint(path).state["a"], np.arange(6))


def rebuilt(storage: bytes) -> bytes:
    return files.call("torch._utils", "_rebuild_tensor_v2", storage, *map(files.plain, (0, (), ())))


BAD_TENSORS = {
    "shape beyond storage": (files.tensor(shape=(2, 4), strides=(4, 1)), "beyond its 6 stored"),
    "stride beyond storage": (files.tensor(strides=(4, 1)), "beyond its 6 stored"),
    "offset beyond storage": (files.tensor(offset=1), "beyond its 6 stored"),
    "offset of an empty tensor": (files.tensor(shape=(0,), strides=(1,), offset=7), "beyond its 6 stored"),
    "negative offset": (files.tensor(offset=-1), "non-negative"),
    "negative stride": (files.tensor(strides=(3, -1)), "non-negative"),
    "negative shape": (files.tensor(shape=(-2, -3)), "non-negative"),
    "wrapping stride": (files.tensor(strides=(1 << 61, 1)), "beyond its 6 stored"),
    "too few strides": (files.tensor(strides=(1,)), "do not match its shape"),
    "many axes": (files.tensor(shape=(1,) * 100, strides=(1,) * 100), "short sequence"),
    "text as shape": (files.tensor(shape="ab"), "short sequence"),
    "negative storage": (files.tensor(size=-6), "non-negative"),
    "expanded without end": (files.tensor(shape=(1 << 40,), strides=(0,)), "unfolds to more than"),
    "odd identifier": (rebuilt(files.plain(5) + pickle.BINPERSID), "no version of PyTorch"),
    "key that is no text": (files.tensor(key=0), "not a storage"),
    "storage that is no name": (
        rebuilt(files.plain(("storage", "torch.FloatStorage", "0", "cpu", 6)) + pickle.BINPERSID),
        "not a storage",
    ),
    "no storage": (rebuilt(files.plain(1)), "no storage"),
    "few arguments": (files.call("torch._utils", "_rebuild_tensor_v2", files.plain(1)), "damaged"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_lying_tensors_are_refused(refuse, name):
    body, message = BAD_TENSORS[name]
    assert message in refuse(files.torch_zip(files.dictionary(w=body), {"0": RAW}))
    size = -6 if name == "negative storage" else 6
    assert message in refuse(files.torch_legacy(files.dictionary(w=body), {"0": (size, RAW)}))


def test_storages_that_are_not_there_are_refused(refuse):
    body = files.dictionary(w=files.tensor())
    assert "lacks the member" in refuse(files.torch_zip(body, {"1": RAW}))
    assert "shorter than the 6 elements" in refuse(files.torch_zip(body, {"0": RAW[:-1]}))
    assert "truncated within storage" in refuse(files.torch_legacy(body, {"0": (6, RAW[:-1])}))
    assert "6 elements promised" in refuse(files.torch_legacy(body, {"0": (5, RAW)}))
    assert "does not match its pickle" in refuse(files.torch_legacy(body, {"1": (6, RAW)}))
    twice = files.dictionary(v=files.tensor(), w=files.tensor(kind="LongStorage"))
    assert "two ways" in refuse(files.torch_legacy(twice, {"0": (6, RAW)}))
    for view in (("v", 3, 4), ("v", -1, 2), ("v", 1), 7):
        body = files.dictionary(w=files.tensor(view=files.plain(view)))
        assert "view" in refuse(files.torch_legacy(body, {"0": (6, RAW)}))


GOOD_PICKLE = files.program(files.dictionary(w=files.tensor()))
BAD_ARCHIVES = {
    "parent folder": ({"a/data.pkl": GOOD_PICKLE, "a/../../x": b""}, "points outside"),
    "absolute name": ({"/a/data.pkl": GOOD_PICKLE}, "points outside"),
    "windows name": ({"a/data.pkl": GOOD_PICKLE, "a\\..\\x": b""}, "points outside"),
    "two pickles": ({"a/data.pkl": GOOD_PICKLE, "b/data.pkl": GOOD_PICKLE}, "not a PyTorch checkpoint"),
    "numpy archive": ({"weights.npy": b"x"}, "not a PyTorch checkpoint"),
    "empty archive": ({}, "not a PyTorch checkpoint"),
    "program": ({"a/data.pkl": GOOD_PICKLE, "a/constants.pkl": b""}, "TorchScript"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_odd_archives_are_refused(refuse, name):
    members, message = BAD_ARCHIVES[name]
    assert message in refuse(files.archive(**members))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(refuse):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for _ in range(2):
            target.writestr("a/data.pkl", GOOD_PICKLE)
    assert "same name" in refuse(stream.getvalue())


def test_zip_bombs_are_refused_before_they_unfold(refuse):
    bomb = bytes(160 << 20)
    body = files.dictionary(w=files.tensor(shape=(40 << 20,), strides=(1,), size=40 << 20))
    data = files.torch_zip(body, {"0": bomb}, zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 20
    assert "unfolds to more than" in refuse(data)


def test_an_archive_that_lies_about_its_sizes_is_refused(refuse):
    data = bytearray(files.torch_zip(files.dictionary(w=files.tensor()), {"0": RAW}))
    entry = data.index(b"PK\x01\x02", data.index(b"archive/data/0"))
    while data[entry + 46 : entry + 60] != b"archive/data/0":
        entry = data.index(b"PK\x01\x02", entry + 4)
    data[entry + 24 : entry + 28] = struct.pack("<I", 1 << 31)
    assert "unfolds to more than" in refuse(bytes(data))
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    assert "not as long as" in refuse(bytes(data))


def test_truncated_and_flipped_files_never_give_other_errors(tmp_path):
    state = {"meta": {"a": 1}, "model": {"w": np.arange(6.0)}}
    body = files.dictionary(w=files.tensor())
    originals = (
        pickle.dumps(state, 4),
        files.torch_zip(body, {"0": RAW}),
        files.torch_legacy(body, {"0": (6, RAW)}),
    )
    path = tmp_path / "cut.pth"
    rng = np.random.default_rng(0)
    for data in originals:
        for length in range(0, len(data), 7):
            path.write_bytes(data[:length])
            with pytest.raises(CheckpointError):
                read_checkpoint(path)
        for _ in range(200):
            flipped = bytearray(data)
            flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            try:
                read_checkpoint(path)  # a flipped weight cannot be seen; anything else must be one sentence
            except CheckpointError as error:
                assert str(path) in str(error)


def safetensors_bytes(header: dict, data: bytes = RAW) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


BAD_SAFETENSORS = {
    "offsets beyond the end": {"w": {"dtype": "F32", "shape": [6], "data_offsets": [0, 240]}},
    "shape and offsets differ": {"w": {"dtype": "F32", "shape": [7], "data_offsets": [0, 24]}},
    "unknown type": {"w": {"dtype": "OBJ", "shape": [6], "data_offsets": [0, 24]}},
    "overlap": {
        "v": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]},
        "w": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]},
    },
    "overflow": {"w": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 24]}},
    "metadata that is no text": {"__metadata__": {"a": 1}},
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_damaged_safetensors_are_refused(refuse, tmp_path, name):
    data = safetensors_bytes(BAD_SAFETENSORS[name])
    assert "safetensors" in refuse(data, ".safetensors")
    with pytest.raises(CheckpointError, match="safetensors"):
        read_safetensors(tmp_path / "hostile.safetensors")


class Harmless:
    """Pickles with a state; unpickling it for real would leave a trace."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __setstate__(self, state: dict) -> None:
        Path(state["canary"]).touch()


def test_unknown_objects_do_not_stop_the_reading_and_are_named(tmp_path, canary):
    content = {
        "state_dict": {"a": np.ones(2)},
        "meta": {"epoch": 3, "config": Harmless(canary), "hooks": [Harmless(canary), 1], Harmless: 2},
        "optimizer": {"state": {0: Harmless(canary)}},
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    checkpoint = read_checkpoint(path)
    assert set(checkpoint.state) == {"a"}
    assert checkpoint.meta == {"epoch": 3, "hooks": [None, 1]}
    assert any(entry.endswith("Harmless") for entry in checkpoint.skipped)
    assert not canary.exists()
