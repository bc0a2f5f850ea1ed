import os

import pytest

from jld.checkpoint import read_checkpoint, read_training_state
from jld.data.json_files import read_json
from jld.data.text_files import read_bytes, read_list, read_text, split_lines
from jld.data.xml_files import XmlFile
from jld.data.zip_texts import read_texts
from jld.errors import CheckpointError, DataError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are_are_read_alike(tmp_path, encoding):
    path = tmp_path / "names.txt"
    path.write_bytes("Möwe\r\n 雀 \n\n".encode(encoding))
    assert read_list(path, "list") == ["Möwe", "雀"]


@pytest.mark.parametrize("encoding, cure", [("gbk", "iconv -f GB18030"), ("latin-1", "save it as UTF-8")])
def test_other_encodings_are_named_with_the_line(tmp_path, encoding, cure):
    path = tmp_path / "names.txt"
    path.write_bytes(b"one\n" + ("图像\n" if encoding == "gbk" else "é\n").encode(encoding))
    with pytest.raises(
        DataError, match=rf"names\.txt: list is not in the encoding UTF-8: byte 0x.. in line 2; .*{cure}"
    ):
        read_text(path, "list")
    path.write_bytes(b"\xff\xfea\0b")
    with pytest.raises(DataError, match="mark of UTF-16"):
        read_text(path, "list")


def test_lines_end_where_editors_end_them():
    assert split_lines("a\x85b\u2028c\x0bd\x0ce\nf") == ["a\x85b\u2028c\x0bd\x0ce", "f"]
    assert split_lines("a\r\nb\rc\n") == ["a", "b\rc", ""]
    assert split_lines("a\rb") == ["a", "b"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    for read in (read_json, read_list):
        with pytest.raises(DataError, match="a: list cannot be read, it is a pipe, a socket or a device"):
            read(tmp_path / "a", "list")
    with pytest.raises(DataError, match="annotation file cannot be read, it is a pipe"):
        XmlFile(tmp_path / "a")
    for read in (read_checkpoint, read_training_state):
        with pytest.raises(CheckpointError, match="a: it is a pipe, a socket or a device and no file"):
            read(tmp_path / "a")
    assert "it is a pipe and no file" in str(read_texts(tmp_path / "a", [])[2][0])


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0"])
def test_packed_files_are_named(tmp_path, start):
    (tmp_path / "a").write_bytes(start + bytes(9))
    with pytest.raises(DataError, match=r"list is packed with \w+; unpack it"):
        read_list(tmp_path / "a", "list")


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path, "a\0b"):
        with pytest.raises(DataError, match="list cannot be read"):
            read_bytes(path, "list")
