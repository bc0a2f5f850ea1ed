"""One VOC annotation file, with the line of every object: messages must lead to the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from jld.data import values
from jld.data.xml_files import XmlFile
from jld.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class XmlObject:
    """One box of an `<object>`; values stay text until they are needed."""

    file: XmlFile
    element: ElementTree.Element
    bndbox: ElementTree.Element | None

    @property
    def name(self) -> str:
        """Class name, empty where the file has none."""
        return values.composed((self.element.findtext("name") or "").strip())

    @property
    def line(self) -> int:
        """Line of the object in its file."""
        return self.file.line(self.element)

    def line_of(self, tag: str) -> int:
        """Line of one of its values, or of the object where it has none of this tag."""
        found = self.element.find(tag)
        if found is None and self.bndbox is not None:
            found = self.bndbox.find(tag)
        return self.line if found is None else self.file.line(found)

    def is_difficult(self) -> bool:
        """Whether the object is marked as difficult.

        Raises:
            ValueError: the mark is neither yes nor no.
        """
        flags = self.element.findall("difficult")
        if not flags:
            return False
        if len(flags) > 1:
            raise ValueError("has two difficult")
        try:
            return values.flag(flags[0].text)
        except ValueError as problem:
            raise ValueError(f"has a difficult that {problem}") from None

    def rotation(self) -> float:
        """Degrees by which the box is turned about its centre, as CVAT writes it; 0 for the others.

        Raises:
            ValueError: the angle is no number.
        """
        attributes = self.element.find("attributes")  # far faster than a path, and most objects have none
        for attribute in () if attributes is None else attributes:
            if (attribute.findtext("name") or "").strip() == "rotation":
                try:
                    return values.number(attribute.findtext("value"))
                except ValueError as problem:
                    raise ValueError(f"has a rotation that {problem}") from None
        return 0.0

    def box(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax as they stand in the file.

        Raises:
            ValueError: a side is missing or no finite number; the text says which.
        """
        if self.bndbox is None:
            raise ValueError("has no bndbox")
        texts = {side.tag: side.text or "" for side in self.bndbox}  # one walk instead of four searches
        if len(texts) < len(self.bndbox):
            tags = [side.tag for side in self.bndbox]
            for side in SIDES:
                if tags.count(side) > 1:
                    raise ValueError(f"has two {side} in one bndbox")
        numbers = []
        for side in SIDES:
            text = texts.get(side)
            if text is None:
                raise ValueError(f"has no {side}")
            try:
                numbers.append(values.number(text))
            except ValueError as problem:
                raise ValueError(
                    f"has the {side} {text!r}, which {str(problem).split('which ')[-1]}"
                ) from None
        return tuple(numbers)


@dataclass
class XmlAnnotation:
    """Objects of one file and the image size where it is given; `odd_size` is a size that cannot be.

    `filename` is the image that the file says it describes, "" where it does not.
    """

    objects: list[XmlObject]
    height: int | None
    width: int | None
    odd_size: str = ""
    filename: str = ""


def read_voc_xml(path: str | Path) -> XmlAnnotation:
    """Parses one annotation file; an `<object>` with several boxes is several objects.

    Raises:
        DataError: the file is missing, malformed or no annotation of VOC; the message holds file and line.
    """
    file = XmlFile(path)
    root, objects = file.root, []
    for element in root.findall("object"):
        if len(element.findall("name")) > 1:
            raise DataError(f"{path}:{file.line(element)}: an object that has two names.")
        objects += [XmlObject(file, element, bndbox) for bndbox in element.findall("bndbox") or [None]]
    strange = next((each.tag for each in root if each.tag != "object" == each.tag.lower()), "")
    if root.tag != "annotation" or strange or (not objects and root.find(".//object") is not None):
        where = f"below <{root.tag}>" if root.tag != "annotation" else f"<{strange}>" * bool(strange)
        where = where or "further down"
        raise DataError(
            f"{path}: no annotation of VOC, which has <object> right below <annotation>; here it is {where}."
        )
    texts = [(root.findtext(f"size/{name}") or "").strip() for name in ("height", "width")]
    height, width = map(_size, texts)
    odd = [text for text, size in zip(texts, (height, width), strict=True) if size == 0 and text]
    filename = (root.findtext("filename") or "").strip()
    return XmlAnnotation(objects, height or None, width or None, odd[0] if odd else "", filename)


def _size(text: str) -> int | None:
    """Whole px; None where the file does not know them (nothing or 0), 0 where they cannot be.

    The image header then says them.
    """
    try:
        size = values.number(text or "0")
    except ValueError:
        return 0
    return (int(size) or None) if 0 <= size <= values.LARGEST_SIDE else 0
