"""Reading image files: one rule for size, orientation and depth, whoever asks (docs/images.md has the table).

Pixels come through OpenCV, and through Pillow where OpenCV changes colours; headers through `image_header`.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from jld.data.image_header import HeaderError, ImageHeader, is_cut_off, read_header
from jld.data.problems import printable
from jld.errors import ConfigError, DataError, one_of
from jld.utils.logging import warn_once

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
ORIENTATIONS = ("exif", "stored")
# OpenCV decodes no more, unless its environment says otherwise.
MOST_PIXELS = 1 << 30
# What turns a picture from how it is stored to how it is shown, by the number of its orientation.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
ROWS_AT_ONCE = 256
READ_AT_ONCE = 1 << 24  # bytes of a file
COPIED_AT_MOST = 1 << 24  # pixels


class BrokenImageError(DataError):
    """An image file is missing, cut off or not an image; holds `path` and `reason`."""

    def __init__(self, path: str | Path, reason: str):
        self.path = printable(path)
        self.reason = reason
        super().__init__(f"image {self.path} cannot be used: {reason}.")

    def __reduce__(self):
        # An exception is rebuilt from its message by default; it must survive the way from a worker.
        return BrokenImageError, (self.path, self.reason)


@dataclass(frozen=True)
class ImageReader:
    """How image files are read; datasets and `tools/preprocess.py` take these as `image_reader=dict(...)`.

    Attributes:
        orientation: "exif" turns pictures as their EXIF orientation says; "stored" leaves them, for labels
            that refer to the pixels as they are stored.
        bits: of files with 9 to 16 bits per sample, how many the sensor used: 2**bits - 1 becomes 255, more
            is cut to it. None takes, file by file, the bits that its largest sample needs (at least 8).
        max_pixels: width times height that is read at most, so that a small file cannot fill the memory.
    Raises:
        ConfigError: values that cannot be.
    """

    orientation: str = "exif"
    bits: int | None = None
    max_pixels: int = 500_000_000

    def __post_init__(self):
        one_of(self.orientation, ORIENTATIONS, f"image_reader.orientation is {self.orientation!r}")
        for key, low, high in (("bits", 8, 16), ("max_pixels", 1, MOST_PIXELS)):
            value = getattr(self, key)
            if value is None and key == "bits":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"image_reader.{key} is {value!r}; it is a whole number, {low} to {high}.")

    @classmethod
    def of(cls, options: ImageReader | Mapping[str, Any] | None) -> ImageReader:
        """The reader of a config section, or the default one.

        Raises:
            ConfigError: no section, unknown keys, or values that cannot be.
        """
        if isinstance(options, ImageReader):
            return options
        if options is not None and not isinstance(options, Mapping):
            raise ConfigError(f"image_reader is {options!r}; it is a section such as dict(bits=12).")
        known = [field.name for field in fields(cls)]
        for key in options or {}:
            one_of(key, known, f"image_reader has no key {key!r}")
        return cls(**(options or {}))

    def header(self, path: str | Path) -> ImageHeader:
        """What the file says about its picture; no pixel is decoded, however many there are.

        Raises:
            BrokenImageError: as for `read`, as far as the header tells.
        """
        with _opened(path) as stream:
            return _header(path, stream)

    def size(self, path: str | Path) -> tuple[int, int]:
        """(height, width) px that `read` will give, from the header alone.

        Raises:
            BrokenImageError: the file is missing or has no readable header.
        """
        return self.header(path).size(self.orientation)

    def read(self, path: str | Path, labelled_size: Sequence[int] | None = None) -> np.ndarray:
        """Pixels of an image file.

        Args:
            path: file.
            labelled_size: (height, width) px that its labels name, where they do.
        Returns:
            [H, W, 3] uint8, BGR; grey is repeated over the channels, transparency is dropped.
        Raises:
            BrokenImageError: missing, empty, cut off, too large, or of a kind that docs/images.md refuses. A
                JPEG that ends early is refused, although OpenCV would return it with a grey rest.
            DataError: the labelled size is that of the other orientation.
        """
        with _opened(path) as file:
            # Headers are read faster from memory, but a file that fills it is not read before its header.
            is_small = os.fstat(file.fileno()).st_size <= READ_AT_ONCE
            stream = io.BytesIO(file.read()) if is_small else file
            header = _header(path, stream)
            conflict = self.conflict(header, labelled_size)
            if conflict:
                raise DataError(f"image {printable(path)} {conflict}")
            if excess := self.excess(header):
                raise BrokenImageError(path, excess)
            stream.seek(0)
            data = stream.read() if is_small else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if is_cut_off(header, data):
                raise BrokenImageError(path, f"the file ends early, after {len(data)} bytes")
            try:
                image = self._decoded(header, data, file)
            except (cv2.error, OSError, ValueError, SyntaxError, MemoryError) as problem:
                reason = str(problem).strip() or type(problem).__name__
                raise BrokenImageError(path, f"its pixels cannot be decoded ({reason})") from None
        if image is None or image.shape[:2] != header.size("stored"):
            raise BrokenImageError(path, f"its pixels cannot be decoded, the {header.format} data is damaged")
        if self.orientation == "exif" and header.orientation != 1:
            image = TURNS[header.orientation](image)
        return image

    def conflict(
        self,
        header: ImageHeader,
        labelled_size: Sequence[int] | None = None,
        centers: np.ndarray | None = None,
    ) -> str:
        """Why labels cannot refer to the chosen orientation, and what to set; "" where they can.

        Args:
            header: of the image.
            labelled_size: (height, width) px that the labels name.
            centers: [n, 2] px of the labelled objects (x, y); those outside of one orientation tell, too.
        """
        other = ORIENTATIONS[self.orientation == "exif"]
        ours, theirs = header.size(self.orientation), header.size(other)
        if ours == theirs:
            return ""
        if labelled_size is not None and tuple(labelled_size) == theirs:
            said = f"its annotation says {theirs[1]}x{theirs[0]}"
        elif centers is not None and not _are_inside(centers, ours) and _are_inside(centers, theirs):
            said = f"its objects fit into {theirs[1]}x{theirs[0]} px only"
        else:
            return ""
        shown, stored = header.size("exif"), header.size("stored")
        return (
            f"has the EXIF orientation {header.orientation}: it is {shown[1]}x{shown[0]} px as shown and "
            f"{stored[1]}x{stored[0]} as stored, and {said} (width x height). Labels of the picture as "
            f"{'stored' if other == 'stored' else 'shown'} need image_reader=dict(orientation={other!r})."
        )

    def excess(self, header: ImageHeader) -> str:
        """Why the picture has too many pixels to be read; "" where it has not."""
        pixels = header.width * header.height
        if pixels <= self.max_pixels:
            return ""
        cure = f"image_reader=dict(max_pixels={pixels}) would read it"
        return (
            f"it has {header.width} x {header.height} = {pixels:,} px, more than the limit of "
            f"{self.max_pixels:,}; {cure if pixels <= MOST_PIXELS else 'OpenCV cannot read it either'}"
        )

    def _decoded(self, header: ImageHeader, data: bytes | mmap.mmap, file: io.FileIO) -> np.ndarray | None:
        is_turned_tiff = header.format == "TIFF" and header.orientation != 1
        if is_turned_tiff:
            data = _unturned(header, data)
        if header.format == "TIFF" and header.bits <= 8 and not _is_plain(header):
            return _by_pillow(data)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        flags |= cv2.IMREAD_ANYDEPTH if header.bits > 8 else 0
        if header.width * header.height > COPIED_AT_MOST and not is_turned_tiff:
            # `imdecode` holds the pixels twice for a moment; this does not. The number names the open file,
            # whatever bytes its path is made of.
            image = cv2.imread(f"/dev/fd/{file.fileno()}", dst=None, flags=flags)
        else:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if header.bits <= 8 or image is None:
            return image
        scaled = self._eight_bits(image, header.bits)
        return 255 - scaled if header.tags.get(262) == (0,) else scaled  # white is zero

    def pixels(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Pixels that are in memory already, by the same rules as those of a file.

        Args:
            image: of NumPy, bool, uint8 or uint16 [H, W] or [H, W, channels]: grey, grey and alpha, BGR, BGR
                and alpha; or of Pillow.
        Returns:
            [H, W, 3] uint8, BGR.
        Raises:
            DataError: another type or shape.
        """
        if isinstance(image, Image.Image):
            image = self._of_pillow(image)
        given = f"{image.dtype} {list(image.shape)}"
        if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (2,), (3,), (4,)) or not image.size:
            raise DataError(f"an image is {given}; it must be [H, W] or [H, W, channels], BGR.")
        if image.dtype not in (np.bool_, np.uint8, np.uint16):
            text = "nothing says which value is black and which is white: make it uint8 or uint16"
            raise DataError(f"an image is {given}; {text}.")
        if image.dtype == np.uint16:
            image = self._eight_bits(image, 16)
        image = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
        image = image[..., None] if image.ndim == 2 else image
        return np.ascontiguousarray(image[..., :3] if image.shape[2] > 2 else np.repeat(image[..., :1], 3, 2))

    def _of_pillow(self, picture: Image.Image) -> np.ndarray:
        if self.orientation == "exif":
            picture = ImageOps.exif_transpose(picture)
        samples = np.asarray(picture) if picture.mode[0] in "IF" else np.zeros(0)
        if picture.mode == "F" or samples.min(initial=0) < 0 or samples.max(initial=0) >= 1 << 16:
            raise DataError(f"a picture of the mode {picture.mode!r} holds no 8 or 16 bits per sample.")
        if samples.size:
            return samples.astype(np.uint16)
        return np.asarray(picture.convert("RGB"))[..., ::-1]

    def _eight_bits(self, image: np.ndarray, file_bits: int) -> np.ndarray:
        unused = 16 - file_bits  # OpenCV moves samples of 10, 12 and 14 bits to the top of 16
        bits = self.bits or max(8, int(image.max() >> unused).bit_length())
        warn_once(
            f"images of {file_bits} bits per sample are scaled to 8: the upper 8 of the bits in use stay "
            f"({bits} are in use in the first such image; image_reader=dict(bits=...) sets this for all).",
            key="image bits",
        )
        scaled = np.empty(image.shape, np.uint8)
        for row in range(0, len(image), ROWS_AT_ONCE):
            rows = slice(row, row + ROWS_AT_ONCE)
            scaled[rows] = np.minimum(image[rows] >> (unused + bits - 8), 255)
        return scaled


def read_image(path: str | Path) -> np.ndarray:
    """[H, W, 3] uint8 BGR pixels of an image file, read as `ImageReader()` does."""
    return ImageReader().read(path)


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) px of an image file from its header, as `ImageReader()` tells it."""
    return ImageReader().size(path)


def is_image_file(path: Path) -> bool:
    """Whether a name is that of an image; hidden files are none (copies begun, notes of other systems)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: str | Path) -> list[Path]:
    """Image files under a folder and its subfolders, sorted by path."""
    return sorted(path for path in Path(folder).rglob("*") if is_image_file(path))


def _opened(path: str | Path) -> io.FileIO:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (a Path would cost as much as the header)
        if stat.S_ISDIR(mode):
            raise BrokenImageError(path, "it is a folder")
        if not stat.S_ISREG(mode):
            # A pipe without a writer would be waited for until the end of time.
            raise BrokenImageError(path, "it is a pipe, a socket or a device and no file")
        # Without a buffer: headers are a few short reads far apart.
        return open(path, "rb", buffering=0)  # noqa: PTH123
    except OSError as problem:
        raise BrokenImageError(path, problem.strerror or str(problem)) from None
    except DataError:
        raise
    except ValueError:
        raise BrokenImageError(path, "no file can have this name") from None


def _header(path: str | Path, stream: io.FileIO | io.BytesIO) -> ImageHeader:
    try:
        return read_header(stream)
    except HeaderError as problem:
        is_empty = stream.seek(0, os.SEEK_END) == 0
        raise BrokenImageError(path, "the file is empty" if is_empty else str(problem)) from None
    except OSError as problem:
        raise BrokenImageError(path, problem.strerror or str(problem)) from None


def _is_plain(header: ImageHeader) -> bool:
    # OpenCV multiplies colours with alpha in TIFFs, and knows no 2 and 4 bits and no Lab.
    return header.bits == 8 and header.tags.get(262) in ((0,), (1,), (2,)) and 338 not in header.tags


def _unturned(header: ImageHeader, data: bytes | mmap.mmap) -> bytes:
    """The file without its orientation: OpenCV and Pillow would turn a TIFF, whatever they are told."""
    at = header.orientation_at or 0
    one = (1).to_bytes(2, "little" if data[:2] == b"II" else "big")
    return data[:at] + one + data[at + 2 :]


def _by_pillow(data: bytes | mmap.mmap) -> np.ndarray:
    # The class itself, because `Image.open` has a limit of pixels of its own.
    picture = TiffImagePlugin.TiffImageFile(io.BytesIO(data)).convert("RGB")
    return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)


def _are_inside(centers: np.ndarray, size: tuple[int, int]) -> bool:
    height, width = size
    return bool(((centers >= 0) & (centers <= [width, height])).all())
