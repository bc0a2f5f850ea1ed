"""What the header of a JPEG, PNG, TIFF, WebP or BMP file says, read without decoding pixels."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from mmap import mmap
from typing import BinaryIO

import numpy as np

ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
# struct format of the TIFF types that hold whole numbers.
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_NO_IMAGE = "no image format that is read here (JPEG, PNG, TIFF, WebP, BMP)"
_OTHER_FILES = (
    (b"version https://", "a pointer of Git LFS: git lfs pull fetches the picture"),
    (b"<", "a web page or SVG"),
    (b"GIF8", "a GIF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)
_OTHER_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"avif": "AVIF"}
_LOG_COLOURS = (32844, 32845)  # LogL and LogLuv, how TIFF packs floating-point light
_MOST_VALUES = 1 << 22
_INTEGER_BITS = (1, 2, 4, 8, 10, 12, 14, 16)
_MOST_EXIF_BYTES = 1 << 20
_MOST_STRAY_BYTES = 4096
_WITHOUT_LENGTH = frozenset([0x00, 0x01, *range(0xD0, 0xD9), 0xFF])
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class HeaderError(ValueError):
    """A header cannot be read; the message is the reason, without a full stop."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its first picture.

    Attributes:
        format: "JPEG", "PNG", "TIFF", "WebP" or "BMP".
        width, height: px as stored.
        orientation: EXIF's 1 to 8; 1 is shown as it is stored.
        bits: per sample, as stored.
        end: how many bytes the file must have at least; 0 where only a look at all of it can tell (JPEG).
        tags: of a TIFF, {number: values}.
        orientation_at: of a TIFF, where in the file the orientation stands.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    end: int = 0
    tags: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False)
    orientation_at: int | None = None

    def size(self, orientation: str = "exif") -> tuple[int, int]:
        """(height, width) px as the picture is shown ("exif") or as it is stored ("stored")."""
        turned = orientation == "exif" and self.orientation in SIDEWAYS
        return (self.width, self.height) if turned else (self.height, self.width)


def read_header(stream: BinaryIO) -> ImageHeader:
    """The header of an image file; the stream is moved.

    Args:
        stream: a file opened for reading at its start, best without a buffer, or bytes in memory.
    Raises:
        HeaderError: none of the formats, a damaged header, or samples that are no unsigned integers.
    """
    start = stream.read(16)
    for magic, read in _READERS:
        if start.startswith(magic):
            try:
                header = read(stream)
            except (struct.error, OverflowError):
                raise HeaderError("the file ends within its header, or its header is damaged") from None
            if not (header.width > 0 and header.height > 0):
                raise HeaderError(f"its header says {header.width} x {header.height} px")
            return header
    raise HeaderError(_NO_IMAGE + _other_kind(start))


def _other_kind(start: bytes) -> str:
    """Which other file begins so, as the end of a sentence."""
    brand = _OTHER_BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    known = (name for magic, name in _OTHER_FILES if start.startswith(magic))
    kind = f"{brand}, as phones save it" if brand else next(known, None)
    return f"; it is {kind}" if kind else ""


def is_cut_off(header: ImageHeader, data: bytes | mmap) -> bool:
    """Whether the file ends before its picture does; what stands behind the picture does not matter."""
    if header.format != "JPEG":
        return len(data) < header.end
    # In the pixels of a JPEG every FF is marked as data by what follows it. A picture that starts before this
    # one ends was put behind one that is cut off. NumPy searches large files faster than `bytes.find`.
    scan = np.frombuffer(data, np.uint8, offset=min(header.end, len(data)))
    kinds = scan[1:][np.flatnonzero(scan[:-1] == 0xFF)]
    ends = kinds[(kinds & 0xFE) == 0xD8]
    return not len(ends) or ends[0] != 0xD9


def _read_jpeg(stream: BinaryIO) -> ImageHeader:
    stream.seek(2)
    frame, orientation = None, 1
    kind, length = _next_segment(stream)
    while kind not in (0xD9, 0xDA):
        after = stream.tell() + max(length - 2, 0)
        if kind in _FRAMES:
            frame = struct.unpack(">BHH", stream.read(5))
        elif kind == 0xE1:
            orientation = _exif_orientation(stream.read(max(length - 2, 0))) or orientation
        stream.seek(after)
        kind, length = _next_segment(stream)
    if frame is None or kind == 0xD9:
        raise HeaderError("it is a JPEG without a picture")
    bits, height, width = frame
    if bits != 8:
        raise HeaderError(f"it is a JPEG of {bits} bits per sample, of which only 8 can be read")
    return ImageHeader("JPEG", width, height, orientation, bits, end=stream.tell())


def _next_segment(stream: BinaryIO) -> tuple[int, int]:
    """(marker, length); a few bytes that belong to no segment are passed over, as libjpeg does."""
    for _ in range(_MOST_STRAY_BYTES):
        mark, kind, length = struct.unpack(">BBH", stream.read(4))
        if mark == 0xFF and kind not in _WITHOUT_LENGTH:
            return kind, length
        stream.seek(-3, 1)
    raise HeaderError("its header is damaged")


def _read_png(stream: BinaryIO) -> ImageHeader:
    stream.seek(8)
    size, orientation, kind = None, 1, b""
    # To the last chunk, because EXIF data may stand behind the pixels.
    while kind != b"IEND":
        head = stream.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR" and size is None:
            size = struct.unpack(">IIB", stream.read(9))
            length -= 9
        elif kind == b"eXIf" and length < _MOST_EXIF_BYTES:
            orientation = _exif_orientation(stream.read(length)) or orientation
            length = 0
        stream.seek(length + 4, 1)
    if size is None:
        raise HeaderError("it is a PNG without a header")
    end = stream.tell() + (0 if kind == b"IEND" else 12)
    width, height, bits = size
    return ImageHeader("PNG", width, height, orientation, bits, end)


def _read_webp(stream: BinaryIO) -> ImageHeader:
    stream.seek(4)
    length, kind = struct.unpack("<I4s", stream.read(8))
    if kind != b"WEBP":
        raise HeaderError(_NO_IMAGE)
    size, orientation, end = None, 1, 8 + length
    while stream.tell() + 8 <= end:
        head = stream.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        after = stream.tell() + length + length % 2
        if size is None and kind in _WEBP_SIZES:
            size = _WEBP_SIZES[kind](stream.read(10).ljust(10, b"\0"))
        elif kind == b"EXIF" and length < _MOST_EXIF_BYTES:
            orientation = _exif_orientation(stream.read(length)) or orientation
        stream.seek(after)
    if size is None:
        raise HeaderError("it is a WebP file without a picture")
    width, height = size
    return ImageHeader("WebP", width, height, orientation, end=end - end % 2)


def _size_of_lossless(body: bytes) -> tuple[int, int]:
    (packed,) = struct.unpack("<I", body[1:5])
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1


_WEBP_SIZES = {
    b"VP8X": lambda body: tuple(int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7)),
    b"VP8 ": lambda body: tuple(side & 0x3FFF for side in struct.unpack("<HH", body[6:10])),
    b"VP8L": _size_of_lossless,
}


def _read_bmp(stream: BinaryIO) -> ImageHeader:
    stream.seek(10)
    start, length = struct.unpack("<II", stream.read(8))
    if length == 12:
        (width, height, _, bits), packing = struct.unpack("<HHHH", stream.read(8)), 0
    else:
        width, height, _, bits, packing = struct.unpack("<iiHHI", stream.read(16))
    height = abs(height)  # negative where rows go from top to bottom
    is_plain = packing in (0, 3, 6)
    return ImageHeader("BMP", width, height, end=start + (width * bits + 31) // 32 * 4 * height * is_plain)


def _read_tiff(stream: BinaryIO) -> ImageHeader:
    values, places = _first_directory(stream)
    if 256 not in values or 257 not in values:
        raise HeaderError("it is a TIFF without a picture")
    bits = _checked_tiff_bits(values)
    parts = [(values.get(at, ()), values.get(size, ())) for at, size in ((273, 279), (324, 325))]
    end = max((start + size for pair in parts for start, size in zip(*pair, strict=False)), default=0)
    return ImageHeader(
        "TIFF",
        values[256][0],
        values[257][0],
        _known(values.get(ORIENTATION, (1,))[0]),
        bits,
        end,
        tags=values,
        orientation_at=places.get(ORIENTATION),
    )


def _checked_tiff_bits(values: dict[int, tuple[int, ...]]) -> int:
    kinds, widths = set(values.get(339, (1,))), set(values.get(258, (1,)))
    samples, colours = values.get(277, (1,))[0], values.get(262, (1,))[0]
    if kinds & {3, 6} or colours in _LOG_COLOURS:
        raise HeaderError(
            "its samples are floating-point numbers, of which nothing says what is black and white: convert "
            "it to integers of 8 or 16 bits"
        )
    if kinds & {2, 5}:
        raise HeaderError("its samples are signed integers: convert it to unsigned ones of 8 or 16 bits")
    bits = max(widths)
    if len(widths) != 1 or bits not in _INTEGER_BITS:
        raise HeaderError(f"it has {'/'.join(map(str, sorted(widths)))} bits per sample; up to 16 are read")
    if not 1 <= samples <= 4:
        raise HeaderError(f"it has {samples} samples per pixel: choose three of them and write these")
    if bits > 8 and (samples == 2 or colours not in (0, 1, 2)):
        raise HeaderError(
            f"{bits} bits per sample are read in plain grey and in RGB only, not in grey with alpha, in "
            "palettes or inks"
        )
    return bits


def _first_directory(stream: BinaryIO) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """({tag: whole numbers}, {tag: where in the stream they stand}) of a TIFF or a block of EXIF data."""
    stream.seek(0)
    start = stream.read(8)
    order = "<" if start[:2] == b"II" else ">"
    if struct.unpack(order + "H", start[2:4])[0] == 43:  # BigTIFF
        offset, count, length = "Q", "Q", 20
        (at,) = struct.unpack(order + "Q", stream.read(8))
    else:
        offset, count, length = "I", "H", 12
        (at,) = struct.unpack(order + "I", start[4:])
    inline = length - 4 - struct.calcsize(offset)
    stream.seek(at)
    (entries,) = struct.unpack(order + count, stream.read(struct.calcsize(count)))
    table = stream.read(min(entries, 65535) * length)
    values, places = {}, {}
    for row in range(len(table) // length):
        place = at + struct.calcsize(count) + row * length + length - inline
        tag, kind, number = struct.unpack_from(order + "HH" + offset, table, row * length)
        if kind not in _NUMBERS or not 0 < number <= _MOST_VALUES:
            continue
        form = f"{order}{number}{_NUMBERS[kind]}"
        if struct.calcsize(form) > inline:
            (place,) = struct.unpack_from(order + offset, table, (row + 1) * length - inline)
        stream.seek(place)
        values[tag], places[tag] = struct.unpack(form, stream.read(struct.calcsize(form))), place
    return values, places


def _exif_orientation(block: bytes) -> int:
    """The orientation in a block of EXIF data, with or without its introduction; 0 where it holds none."""
    body = block.removeprefix(b"Exif\0\0")
    if body[:2] not in (b"II", b"MM"):
        return 0
    try:
        return _known(_first_directory(io.BytesIO(body))[0].get(ORIENTATION, (0,))[0])
    except (struct.error, OverflowError):
        return 0


def _known(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


_READERS = (
    (b"\xff\xd8\xff", _read_jpeg),
    (b"\x89PNG\r\n\x1a\n", _read_png),
    (b"II*\0", _read_tiff),
    (b"MM\0*", _read_tiff),
    (b"II+\0", _read_tiff),
    (b"MM\0+", _read_tiff),
    (b"RIFF", _read_webp),
    (b"BM", _read_bmp),
)
