"""Every xml file of a dataset is read here: a bounded tree without entities, which knows its lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from jld.data.text_files import read_bytes
from jld.errors import DataError

MAX_BYTES = 8 << 20
"""Some twenty thousand objects; the tree of so many bytes takes 600 MB at worst."""
DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})[\"']")
NATIVE = frozenset({"utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "ascii"})
SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932"}
"""Files that declare the first are often written in the second, which reads both alike."""
NO_CHARACTER_SETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}
)


class _RefusedError(Exception):
    """The end of a sentence about a file that is sound xml, but not wanted."""


class XmlFile:
    """The tree of a file, and the line of each of its elements where a message needs it.

    Encodings that the file declares are honoured, multi-byte ones too. Entities are neither expanded nor
    fetched.

    Args:
        path: the file.
        max_bytes: of the file.
    Raises:
        DataError: the file cannot be read, is malformed or too large, declares entities, or is not in the
            encoding it declares; names file and line.
    """

    def __init__(self, path: str | Path, max_bytes: int = MAX_BYTES):
        content = read_bytes(path, "annotation file")
        if len(content) > max_bytes:
            raise DataError(f"{path}: annotation file has {len(content)} bytes; {max_bytes} are the limit.")
        self.path = path
        self._content, self._encoding = _decoded(content, path)
        self._lines: dict[int, int] = {}
        builder = ElementTree.TreeBuilder()
        self._parse(builder.start, builder.end, builder.data)
        self.root = builder.close()

    def line(self, element: ElementTree.Element) -> int:
        """The line in which an element starts.

        The file is parsed again for it: a Python function called for every element would take longer than all
        the rest of reading.
        """
        if not self._lines:
            lines: list[int] = []
            parser = expat.ParserCreate(self._encoding)
            parser.StartElementHandler = lambda *_: lines.append(parser.CurrentLineNumber)
            parser.Parse(self._content, True)
            self._lines = dict(zip(map(id, self.root.iter()), lines, strict=True))
        return self._lines[id(element)]

    def _parse(self, start: Callable, end: Callable, data: Callable) -> None:
        parser = expat.ParserCreate(self._encoding)
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
        parser.EntityDeclHandler = _refuse_entity
        try:
            parser.Parse(self._content, True)
        except expat.ExpatError as problem:
            reason = f"{expat.errors.messages[problem.code]}{_hint(self._content)}"
            raise DataError(f"{self.path}:{problem.lineno}: malformed xml, {reason}.") from None
        except (_RefusedError, ValueError, LookupError) as problem:  # the last two: an unknown encoding
            where = f"{self.path}:{parser.CurrentLineNumber}"
            raise DataError(f"{where}: xml that is not read, {problem}.") from None


def _refuse_entity(name: str, *_: object) -> None:
    raise _RefusedError(f"it declares the entity {name!r}")


def _decoded(content: bytes, path: object) -> tuple[bytes, str | None]:
    """(content, encoding to impose on the parser), in UTF-8 where expat does not know the declared one."""
    declared = DECLARED.match(content)
    if declared is None or content.startswith(codecs.BOM_UTF8):
        return content, None
    name = declared[1].decode("ascii")
    try:
        codec = codecs.lookup(name)
        if codec.name in NATIVE:
            return content, None
        if codec.name in NO_CHARACTER_SETS:
            raise LookupError(name)
        # A file may hold letters of the larger set that its makers took for the declared one.
        return content.decode(SUPERSETS.get(codec.name, codec.name)).encode("utf-8"), "utf-8"
    except UnicodeError:
        raise DataError(f"{path}: xml that is not in the encoding {name} it declares.") from None
    except LookupError:
        raise DataError(
            f"{path}: xml that declares the encoding {name!r}, which is not known: save it as UTF-8."
        ) from None


def _hint(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        return f"; line {line} is not in the encoding UTF-8, and no other one is declared"
    return ""
