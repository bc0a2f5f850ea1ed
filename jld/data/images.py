"""Reading image files: pixels through OpenCV, sizes from the header alone, and broken files told apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from jld.errors import DataError, visible

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)


class BrokenImageError(DataError):
    """An image file is missing, cut off or not an image; holds `path` and `reason`."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"image {visible(str(path), keep='')} cannot be used: {reason}.")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self):
        # An exception is rebuilt from its message by default; it must survive the way from a worker.
        return BrokenImageError, (self.path, self.reason)


def read_image(path: str | Path) -> np.ndarray:
    """Pixels of an image file, turned as its EXIF orientation says.

    Returns:
        [H, W, 3] uint8, BGR; grey images are repeated over the channels, transparency is dropped.
    Raises:
        BrokenImageError: missing, empty, cut off or not an image. A JPEG that ends early is refused, although
            OpenCV would return it with a grey rest.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise BrokenImageError(path, problem.strerror or str(problem)) from None
    if not data:
        raise BrokenImageError(path, "the file is empty")
    if _is_cut_off(data):
        raise BrokenImageError(path, f"the file ends early, after {len(data)} bytes")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as problem:
        raise BrokenImageError(path, f"OpenCV says {str(problem).strip()}") from None
    if image is None:
        raise BrokenImageError(path, "no image format that OpenCV can read")
    return image


def _is_cut_off(data: bytes) -> bool:
    # End markers are looked for in the second half only: a thumbnail near the start has markers of its own.
    half = len(data) // 2
    if data[:2] == b"\xff\xd8":
        return data.find(b"\xff\xd9", half) < 0
    if data[:4] == b"\x89PNG":
        return data.find(b"IEND", half) < 0
    return False


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) from the header, after EXIF orientation; pixels are not decoded.

    Raises:
        BrokenImageError: the file is missing or has no readable header.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    except Exception as problem:  # Pillow's parsers raise half a dozen types on damaged headers
        reason = getattr(problem, "strerror", None) or "no image header could be read"
        raise BrokenImageError(path, reason) from None
    return (width, height) if turned else (height, width)


def list_images(folder: str | Path) -> list[Path]:
    """Image files under a folder and its subfolders, sorted by path."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
