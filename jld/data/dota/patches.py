"""One image and its labels become patches; the work of one step of one worker."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jld.checkpoint import atomic_write
from jld.data.dota.labels import PolyAnnotation, far_outside, format_objects, read_label_file
from jld.data.dota.names import check_style, patch_name
from jld.data.dota.windows import cut_for_jdet, cut_for_mmrotate, drop_empty_windows, image_windows
from jld.data.image_header import ImageHeader
from jld.data.images import ImageReader
from jld.data.problems import printable
from jld.errors import ConfigError, DataError

LABEL_FOLDERS = {"jdet": "labelTxt", "mmrotate": "annfiles"}
PADDING_BGR = {"jdet": (0, 0, 0), "mmrotate": (104, 116, 124)}


@dataclass(frozen=True)
class SplitSettings:
    """What decides which patches come out.

    Attributes:
        subimage_size: side of a patch in px.
        overlap_size: px that neighbours share.
        multi_scale: rates; "jdet" resizes the image by each, "mmrotate" divides window and overlap by each.
        style: "jdet" (as the DOTA development kit) or "mmrotate".
        yx_style: see `cut_for_jdet`.
        keep_empty: whether `labels.pkl` lists patches without objects; JDet leaves them out, and then what a
            detector finds in them never counts against it.
    Raises:
        ConfigError: values that cannot be.
    """

    subimage_size: int = 600
    overlap_size: int = 150
    multi_scale: tuple[float, ...] = (1.0,)
    style: str = "jdet"
    yx_style: bool = False
    keep_empty: bool = False

    def __post_init__(self):
        check_style(self.style)
        if not self.multi_scale or not all(rate > 0 for rate in self.multi_scale):
            raise ConfigError(
                f"multi_scale is {list(self.multi_scale)}; give rates above 0, such as [0.5, 1.0, 1.5]."
            )
        if not 0 <= self.overlap_size < self.subimage_size:
            raise ConfigError(
                f"overlap_size is {self.overlap_size} px; it must be at least 0 and below subimage_size, "
                f"{self.subimage_size} px."
            )
        if self.yx_style and self.style != "jdet":
            raise ConfigError("yx_style is JDet's; it goes with style='jdet' only.")

    @property
    def label_folder(self) -> str:
        """Where label files of patches stand."""
        return LABEL_FOLDERS[self.style]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        return {**asdict(self), "multi_scale": list(self.multi_scale)}


@dataclass(frozen=True)
class SourceImage:
    """One image to cut; `label_file` is None in a test set."""

    image_id: str
    image_file: str
    label_file: str | None = None

    def fingerprint(self) -> list[int]:
        """Sizes and times of its files: another value means that its patches are out of date."""
        files = [Path(file).stat() for file in (self.image_file, self.label_file) if file]
        return [number for stat in files for number in (stat.st_size, stat.st_mtime_ns)]


@dataclass(frozen=True)
class Patch:
    """One patch: pixels [size, size, 3] uint8 BGR and the objects in it (None in a test set)."""

    name: str
    pixels: np.ndarray
    annotation: PolyAnnotation | None


def cut_image(
    image: np.ndarray, annotation: PolyAnnotation | None, image_id: str, settings: SplitSettings
) -> Iterator[Patch]:
    """The patches of one image, one at a time.

    Args:
        image: [H, W, 3] uint8 BGR.
        annotation: its objects, or None.
        image_id: for the names.
        settings: how to cut.
    """
    yield from (_cut_in_jdet_style if settings.style == "jdet" else _cut_in_mmrotate_style)(
        image, annotation, image_id, settings
    )


def _cut_in_jdet_style(
    image: np.ndarray, annotation: PolyAnnotation | None, image_id: str, settings: SplitSettings
) -> Iterator[Patch]:
    for rate in settings.multi_scale:
        resized = (
            image if rate == 1 else cv2.resize(image, None, fx=rate, fy=rate, interpolation=cv2.INTER_CUBIC)
        )
        objects = None if annotation is None else annotation.scaled(rate)
        height, width = resized.shape[:2]
        for window in image_windows(width, height, settings.subimage_size, settings.overlap_size):
            inside = None
            if objects is not None:
                inside = cut_for_jdet(objects, window, (width, height), yx_style=settings.yx_style)
            name = patch_name(image_id, rate, *window[:2])
            yield Patch(name, _crop(resized, window, PADDING_BGR["jdet"]), inside)


def _cut_in_mmrotate_style(
    image: np.ndarray, annotation: PolyAnnotation | None, image_id: str, settings: SplitSettings
) -> Iterator[Patch]:
    height, width = image.shape[:2]
    scaled = [
        (int(settings.subimage_size / rate), int(settings.overlap_size / rate))
        for rate in settings.multi_scale
    ]
    windows = np.concatenate([image_windows(width, height, size, overlap) for size, overlap in scaled])
    windows = drop_empty_windows(windows, width, height)
    cut = [None] * len(windows) if annotation is None else cut_for_mmrotate(annotation, windows)
    for window, inside in zip(windows, cut, strict=True):
        name = patch_name(image_id, window[2] - window[0], *window[:2])
        yield Patch(name, _crop(image, window, PADDING_BGR["mmrotate"]), inside)


def _crop(image: np.ndarray, window: np.ndarray, padding: tuple[int, int, int]) -> np.ndarray:
    x1, y1, x2, y2 = (int(side) for side in window)
    shown = image[y1:y2, x1:x2]
    if shown.shape[:2] == (y2 - y1, x2 - x1):
        return shown
    patch = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    patch[:] = padding
    patch[: shown.shape[0], : shown.shape[1]] = shown
    return patch


def _check_places(
    source: SourceImage, annotation: PolyAnnotation, reader: ImageReader, header: ImageHeader
) -> None:
    """Stops where labels refer to another orientation, or lie too far from their image."""
    centers = annotation.polys.reshape(-1, 4, 2).mean(1)
    if conflict := reader.conflict(header, centers=centers):
        raise DataError(f"image {printable(source.image_file)} {conflict}")
    height, width = header.size(reader.orientation)
    is_far = far_outside(annotation.polys, np.array([height, width]))
    if is_far.any():
        row = int(is_far.argmax())
        raise DataError(
            f"{source.label_file}: object {row + 1} ({annotation.names[row]}) has a corner further outside "
            f"of its image of {width}x{height} px than that is long."
        )


def split_image(
    source: SourceImage,
    *,
    settings: SplitSettings,
    target: str,
    classes: tuple[str, ...] | None,
    reader: ImageReader,
) -> dict[str, Any]:
    """Cuts one image and writes its patches: `images/<name>.png` and, with labels, `<label
    folder>/<name>.txt`.

    Args:
        source: the image.
        settings: how to cut.
        target: folder with `images` and the label folder in it.
        classes: objects of other classes are left out; None takes any.
        reader: reads the image, once for all rates and windows.
    Returns:
        what a done mark holds: `fingerprint`, `bits` per sample of the image, `patches` [[name, width,
        height, number of objects], ...] and `checksums`, one of each patch, see `patch_checksum`.
    Raises:
        DataError: the image or the label file cannot be read, the labels refer to another orientation of the
            image, an object lies far from the image, or a patch cannot be written.
    """
    cv2.setNumThreads(1)  # parallelism comes from the number of workers
    fingerprint = source.fingerprint()
    annotation = read_label_file(source.label_file, classes)[0] if source.label_file else None
    header = reader.header(source.image_file)
    if annotation is not None:
        _check_places(source, annotation, reader, header)
    patches, checksums = [], []
    for patch in cut_image(reader.read(source.image_file), annotation, source.image_id, settings):
        pixels, label = patch_files(Path(target), settings, patch.name)
        contents = {pixels: _png(pixels, patch.pixels)}
        if patch.annotation is not None:
            contents[label] = format_objects(patch.annotation).encode("utf-8")
        for path, content in contents.items():
            _write(path, content)
        height, width = patch.pixels.shape[:2]
        patches.append([patch.name, width, height, 0 if patch.annotation is None else len(patch.annotation)])
        checksums.append(patch_checksum(*contents.values()))
    return {"fingerprint": fingerprint, "bits": header.bits, "patches": patches, "checksums": checksums}


def patch_files(target: Path, settings: SplitSettings, name: str) -> tuple[Path, Path]:
    """Where the pixels and the label file of a patch stand."""
    return target / "images" / f"{name}.png", target / settings.label_folder / f"{name}.txt"


def patch_checksum(pixels: bytes, label: bytes = b"") -> int:
    """CRC-32 of the two files of a patch, one behind the other."""
    return zlib.crc32(label, zlib.crc32(pixels))


def _png(path: Path, pixels: np.ndarray) -> bytes:
    is_encoded, data = cv2.imencode(".png", pixels)
    if not is_encoded:
        raise DataError(f"{path}: OpenCV cannot encode this patch.")
    return data.tobytes()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as problem:
        raise DataError(f"{path}: patch cannot be written, {problem.strerror}.") from None


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    atomic_write(path, lambda stream: stream.write(text.encode("utf-8")))
