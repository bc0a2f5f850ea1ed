"""Every text file of a dataset is read here: label files, lists, class files, json and xml as bytes.

Encodings are never guessed: UTF-8, with or without a byte order mark, or UTF-16 with one.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from jld.errors import DataError

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
POINTER = b"version https://git-lfs"
PACKED = ((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"))


def read_bytes(path: str | Path, what: str) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        what: how the message calls it, such as "label file".
    Raises:
        DataError: it cannot be read, is packed, or stands for a file that was not fetched; names the reason.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (a Path takes as long as a short file)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError("it is a pipe, a socket or a device and no file")  # never waited for
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        reason = getattr(problem, "strerror", None) or problem
        raise DataError(f"{path}: {what} cannot be read, {reason}.") from None
    if content.startswith(POINTER):
        raise DataError(f"{path}: {what} is a pointer of Git LFS; fetch the file itself: git lfs pull.")
    for magic, program in PACKED:
        if content.startswith(magic):
            raise DataError(f"{path}: {what} is packed with {program}; unpack it.")
    return content


def read_text(path: str | Path, what: str) -> str:
    """The text of a file, without its byte order mark.

    Raises:
        DataError: it cannot be read, or is in another encoding; says which encoding is expected.
    """
    content = read_bytes(path, what)
    encoding = "utf-16" if content.startswith(UTF16_MARKS) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as problem:
        raise DataError(f"{path}: {what} {_encoding_text(content, problem)}") from None


def split_lines(text: str) -> list[str]:
    """Lines as editors number them: ended by a line feed, with or without a carriage return before it.

    `str.splitlines` would also split at a vertical tab, U+0085 or U+2028, and shift every number behind it.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")
    return text.split("\n")


def read_list(path: str | Path, what: str) -> list[str]:
    """The lines of a list that are not empty, without spaces around them.

    Raises:
        DataError: see `read_text`.
    """
    return [line.strip() for line in split_lines(read_text(path, what)) if line.strip()]


def _encoding_text(content: bytes, problem: UnicodeDecodeError) -> str:
    line = content.count(b"\n", 0, problem.start) + 1
    if problem.encoding != "utf-8":
        return f"begins with the mark of UTF-16, but is no text of this encoding from line {line} on."
    try:
        content.decode("gb18030")
        cure = "if it is GBK or GB2312, convert it: iconv -f GB18030 -t UTF-8"
    except UnicodeDecodeError:
        cure = "save it as UTF-8"
    return f"is not in the encoding UTF-8: byte 0x{content[problem.start]:02x} in line {line}; {cure}."
