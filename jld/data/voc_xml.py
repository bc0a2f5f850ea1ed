"""One VOC annotation file, with the line of every object: messages must lead to the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from jld.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class XmlObject:
    """One `<object>`; values stay text until they are needed, each with its line."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Class name, empty where the file has none."""
        return self.values.get("name", "")

    @property
    def is_difficult(self) -> bool:
        """Whether the object is marked as difficult."""
        return self.values.get("difficult", "0") not in ("", "0")

    def box(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax as they stand in the file.

        Raises:
            ValueError: a side is missing or no number; the text says which.
        """
        numbers = []
        for side in SIDES:
            text = self.values.get(side)
            if text is None:
                raise ValueError(f"has no {side}")
            try:
                numbers.append(float(text))
            except ValueError:
                raise ValueError(f"has the {side} {text!r}, which is no number") from None
        return tuple(numbers)


@dataclass
class XmlAnnotation:
    """Objects of one file and the image size where it is given."""

    objects: list[XmlObject]
    height: int | None
    width: int | None


OBJECT_TAGS = {
    "annotation/object/name": "name",
    "annotation/object/difficult": "difficult",
    **{f"annotation/object/bndbox/{side}": side for side in SIDES},
}
SIZE_TAGS = {"annotation/size/width": "width", "annotation/size/height": "height"}


class _Reader:
    """Handlers for one expat parser: keeps the path of open tags and the text of the innermost one."""

    def __init__(self, parser: expat.XMLParserType):
        self.parser = parser
        self.path: list[str] = []
        self.text: list[str] = []
        self.objects: list[XmlObject] = []
        self.size: dict[str, str] = {}
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text_append

    def text_append(self, text: str) -> None:
        self.text.append(text)

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.path.append(tag)
        self.text.clear()
        if self.path == ["annotation", "object"]:
            self.objects.append(XmlObject(self.parser.CurrentLineNumber))

    def end(self, _tag: str) -> None:
        path = "/".join(self.path)
        value = "".join(self.text).strip()
        if path in OBJECT_TAGS:
            key = OBJECT_TAGS[path]
            self.objects[-1].values[key] = value
            self.objects[-1].lines[key] = self.parser.CurrentLineNumber
        elif path in SIZE_TAGS:
            self.size[SIZE_TAGS[path]] = value
        self.text.clear()
        self.path.pop()


def read_voc_xml(path: str | Path) -> XmlAnnotation:
    """Parses one annotation file.

    Raises:
        DataError: the file is missing or malformed; the message holds file and line.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as problem:
        raise DataError(f"{path}: annotation file cannot be read, {problem.strerror}.") from None
    parser = expat.ParserCreate()
    reader = _Reader(parser)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as problem:
        reason = expat.errors.messages[problem.code]
        raise DataError(f"{path}:{problem.lineno}: malformed xml, {reason}.") from None
    height, width = (_size(reader.size.get(key)) for key in ("height", "width"))
    return XmlAnnotation(reader.objects, height, width)


def _size(text: str | None) -> int | None:
    # Some exporters write 0 where they do not know the size; the image header then says it.
    try:
        number = int(float(text or 0))
    except ValueError:
        return None
    return number if number > 0 else None
