"""Small files that would fill the memory or keep the reader busy are refused before they do."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import pytest

from jld.checkpoint import pickle_machine
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
