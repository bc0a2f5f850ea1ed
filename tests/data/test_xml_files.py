import pytest

from jld.data.xml_files import MAX_BYTES, XmlFile
from jld.errors import DataError


def write(tmp_path, content):
    path = tmp_path / "a.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def declared(encoding, text="雀", codec=None):
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<a><b>{text}</b></a>'.encode(codec or encoding)


@pytest.mark.parametrize(
    "content",
    [
        declared("utf-8"),
        b"\xef\xbb\xbf" + declared("utf-8"),
        declared("utf-16"),
        declared("GB2312"),
        declared("gbk"),
        declared("Big5"),
        declared("Shift_JIS"),
        declared("EUC-KR", "새"),
        declared("windows-1252", "é"),
        declared("GB2312", "镕", "gbk"),  # a letter that only the larger set has
    ],
)
def test_declared_encodings_are_honoured(tmp_path, content):
    assert XmlFile(write(tmp_path, content)).root.findtext("b") in ("雀", "새", "é", "镕")


@pytest.mark.parametrize(
    "content, reason",
    [
        (declared("x-unheard-of", codec="utf-8"), "declares the encoding 'x-unheard-of', which is not known"),
        (declared("punycode", codec="utf-8"), "declares the encoding 'punycode', which is not known"),
        (declared("hex", codec="utf-8"), "declares the encoding 'hex', which is not known"),
        (declared("gbk", codec="utf-8") + b"\xff", "not in the encoding gbk it declares"),
        ("<a>\n图像</a>".encode("gbk"), r"a\.xml:2: malformed xml, .*; line 2 is not in the encoding UTF-8"),
        ("<a>\n<b></a>", r"a\.xml:2: malformed xml, mismatched tag"),
        ("<!DOCTYPE a [<!ENTITY b 'bbbb'>]>\n<a>&b;</a>", "declares the entity 'b'"),
        ("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "declares the entity 'b'"),
        ("", "no element found"),
        (b"<a>" + b" " * MAX_BYTES + b"</a>", "bytes; 8388608 are the limit"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_files_are_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(DataError, match=reason):
        XmlFile(write(tmp_path, content))


def test_elements_know_their_lines_in_every_encoding(tmp_path):
    for encoding in ("utf-8", "gbk"):
        file = XmlFile(write(tmp_path, declared(encoding, "</b>\n\n<c/>\n<b>")))
        assert [file.line(element) for element in file.root.iter()] == [2, 2, 4, 5]


def test_depth_does_not_matter(tmp_path):
    file = XmlFile(write(tmp_path, "<a>" * 200_000 + "</a>" * 200_000))
    assert file.root.find(".//b") is None
