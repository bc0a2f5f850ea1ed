"""Small files that would fill the memory or keep the reader busy are refused before they do."""

from __future__ import annotations

import io
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest

from jld.checkpoint import pickle_machine, read_checkpoint
from tests.checkpoint import files

UNFOLDING = {
    "sets": (b"\x80\x04" + b"\x8f" * 4_000_000, "data.pkl unfolds"),
    "text": (b"\x80\x02X" + struct.pack("<I", 40 << 20) + b"a" * (40 << 20), "data.pkl unfolds"),
}


@pytest.mark.parametrize("name", UNFOLDING)
def test_a_few_kilobytes_do_not_fill_the_memory(refuse, name):
    program, message = UNFOLDING[name]
    data = files.archive(**{"a/data.pkl": program + b"."})
    assert len(data) < 50_000
    assert message in refuse(data)


def test_text_is_not_turned_into_bytes_again_and_again(refuse):
    text = pickle.BINUNICODE + struct.pack("<I", 50_000) + b"a" * 50_000
    once = b"c_codecs\nencode\n" + text + b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R"
    again = b"c_codecs\nencode\nh\x01h\x02\x86R"
    assert "more bytes than it holds" in refuse(b"\x80\x02(" + once + again * 40 + b"l.", ".pkl")
    assert "not a dictionary" in refuse(b"\x80\x02(" + once + b"l.", ".pkl")


def test_sets_cost_more_than_other_values(refuse, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MAX_STEPS", 1000)
    assert "1000 steps" in refuse(b"\x80\x04" + b"\x8f" * 300 + b".", ".pkl")
    assert "not a dictionary" in refuse(b"\x80\x04" + b"]" * 300 + b".", ".pkl")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(refuse, method):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        target.writestr("a/data.pkl", files.program(files.dictionary(w=files.tensor())))
    assert "PyTorch never writes" in refuse(stream.getvalue())


def numbers(*values: float) -> bytes:
    return b"".join(pickle.dumps(value, 2)[2:-1] for value in values)


def test_tuples_that_collide_as_keys_are_refused(refuse):
    """-1 and -2 have one hash, and so have all tuples of them."""
    tuples = b"".join(
        b"(" + numbers(*(-1 - (n >> bit & 1) for bit in range(12))) + b"tN" for n in range(3000)
    )
    assert "more numbers as dictionary keys" in refuse(b"\x80\x02}(" + tuples + b"u.", ".pkl")
    long = b"(" + numbers(*[-1] * 20) + b"tN"
    assert "more than 16 parts" in refuse(b"\x80\x02}(" + long + b"u.", ".pkl")


def test_keys_that_are_copied_count_again(refuse):
    one = b"}(" + b"".join(b"(" + numbers(n, -1) + b"tN" for n in range(100)) + b"uq\x01"
    copies = b"cbuiltins\ndict\nh\x01\x85R" * 8
    assert "more numbers as dictionary keys" in refuse(b"\x80\x02](" + one + copies + b"e.", ".pkl")


def test_numbers_as_keys_are_counted(refuse):
    pairs = b"".join(numbers(n) + b"N" for n in range(21_000))
    assert "more numbers as dictionary keys" in refuse(b"\x80\x02}(" + pairs + b"u.", ".pkl")


def text(content: bytes) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(content)) + content


LONG = {
    "key": (b"}" + text(b"k" * 5000) + b"Ns", "longer than 4096"),
    "bytes as key": (b"}B" + struct.pack("<I", 5000) + b"k" * 5000 + b"Ns", "longer than 4096"),
    "module": (text(b"m" * 600) + text(b"n") + b"\x93", "more than 500"),
    "name": (text(b"m") + text(b"n" * 600) + b"\x93", "more than 500"),
}


@pytest.mark.parametrize("name", LONG)
def test_names_without_end_are_refused(refuse, name):
    program, message = LONG[name]
    assert message in refuse(b"\x80\x04" + program + b".", ".pkl")


def test_texts_joined_again_and_again_are_refused(refuse):
    joined = text(b"cuda" * 5000) + b"\x940ctorch\ndevice\n\x940(" + b"h\x00" * 3 + b"t\x940]("
    assert "more bytes than it holds" in refuse(b"\x80\x04" + joined + b"h\x01h\x02R" * 9 + b"e.", ".pkl")


def test_python_2_arrays_do_not_copy_one_text_for_each(refuse):
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    state = b"(K\x01M\x20\x4e\x85" + dtype + b"\x89" + text(b"a" * 20_000) + b"t"
    again = b"(" + array + state + b"q\x07b" + (array + b"h\x07b") * 30 + b"l."
    assert "more bytes than it holds" in refuse(b"\x80\x02" + again, ".pkl")


def test_many_small_views_of_one_storage_are_read_in_little_time(tmp_path):
    count = 2_000_000
    values = np.arange(count, dtype="<f4")
    views = {f"w{n}": files.tensor((1,), (1,), offset=n, size=count - 1) for n in range(500)}
    path = tmp_path / "views.pth"
    path.write_bytes(files.torch_zip(files.dictionary(**views), {"0": values.tobytes()}))
    start = time.perf_counter()
    state = read_checkpoint(path).state
    assert time.perf_counter() - start < 2
    assert [float(state[f"w{n}"][0]) for n in (0, 3, 499)] == [0, 3, 499]
