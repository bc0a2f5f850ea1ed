import pytest

from jld.data.text_files import read_bytes, read_list, read_text, split_lines
from jld.errors import DataError


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


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path, "a\0b"):
        with pytest.raises(DataError, match="list cannot be read"):
            read_bytes(path, "list")
