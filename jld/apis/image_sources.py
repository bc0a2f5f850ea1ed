"""Images from wherever a user has them: files, folders, patterns, lists, films, addresses, arrays."""

from __future__ import annotations

import glob
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL.Image import Image as Picture

from jld.data.images import ImageReader, is_image_file, list_images
from jld.data.text_files import read_list
from jld.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
SCHEMES = ("http://", "https://")
USUAL_RATE = 25.0  # frames per second, of films that do not say
WAIT_SECONDS = 30
MOST_BYTES = 256 << 20
"""Of a file that is fetched."""


@dataclass(frozen=True)
class Film:
    """Where a frame comes from.

    Attributes:
        path: of the film.
        rate: frames per second that are looked at.
    """

    path: Path
    rate: float


@dataclass(frozen=True)
class SourceImage:
    """One image that is read when it is its turn.

    Attributes:
        name: path, address, number in a list, or `<film>_<number of the frame>`.
        read: gives [H, W, 3] uint8 BGR, or raises `DataError`.
        kept: what pictures are made from later: the file, or the pixels where there is none.
        film: of a frame.
    """

    name: str | int
    read: Callable[[], np.ndarray]
    kept: Any = None
    film: Film | None = None


def is_single(source: Any) -> bool:
    """Whether a source is one image, so that its result is one too."""
    if isinstance(source, np.ndarray | Picture):
        return True
    text = str(source)
    is_one = isinstance(source, str | Path) and (text.startswith(SCHEMES) or Path(text).is_file())
    return is_one and Path(text).suffix.lower() not in (*VIDEO_SUFFIXES, ".txt")


def source_images(source: Any, reader: ImageReader, *, every: int = 1) -> Iterator[SourceImage]:
    """The images of a source, in order.

    Args:
        source: a path of an image, film, folder (searched with its subfolders) or text file with a path or
            address per line; a pattern such as `shots/*.jpg`; an http(s) address, which is fetched; an array
            or picture, see `ImageReader.pixels`; or a list of these.
        reader: how files are read.
        every: of films, every so many frames.
    Raises:
        DataError: there is nothing at a path, or no image.
    """
    if isinstance(source, np.ndarray | Picture):
        yield SourceImage(0, partial(reader.pixels, source), source)
    elif isinstance(source, Sequence) and not isinstance(source, str):
        for number, each in enumerate(source):
            for image in source_images(each, reader, every=every):
                is_file = isinstance(image.name, str)
                yield image if is_file else SourceImage(number, image.read, image.kept)
    elif isinstance(source, str | Path):
        yield from _of_path(str(source), reader, every)
    else:
        raise DataError(f"images cannot be taken from a {type(source).__name__}.")


def _of_path(text: str, reader: ImageReader, every: int) -> Iterator[SourceImage]:
    path = Path(text)
    if text.startswith(SCHEMES):
        yield SourceImage(text, partial(_fetch, text, reader))
    elif path.is_dir():
        files = list_images(path)
        if not files:
            raise DataError(f"{path} holds no image file.")
        yield from (SourceImage(str(file), partial(reader.read, file), str(file)) for file in files)
    elif path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _frames(path, every)
    elif path.is_file() and path.suffix.lower() == ".txt":
        yield from source_images(read_list(path, "list of images"), reader, every=every)
    elif path.is_file():
        yield SourceImage(text, partial(reader.read, path), text)
    elif glob.has_magic(text):
        wanted = (*VIDEO_SUFFIXES, ".txt")
        found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (a Path has no absolute patterns)
        files = [file for file in map(Path, found) if is_image_file(file) or file.suffix.lower() in wanted]
        if not files:
            raise DataError(f"no image matches {text}.")
        for file in files:
            yield from _of_path(str(file), reader, every)
    else:
        raise DataError(f"{text} does not exist.")


def _frames(path: Path, every: int) -> Iterator[SourceImage]:
    film = cv2.VideoCapture(str(path))
    rate = film.get(cv2.CAP_PROP_FPS)
    about = Film(path, (rate if 0 < rate < np.inf else USUAL_RATE) / every)
    try:
        number = 0
        while film.grab():
            if number % every == 0:
                is_read, pixels = film.retrieve()
                if not is_read:
                    raise DataError(f"{path}: frame {number} cannot be decoded.")
                yield SourceImage(
                    f"{path.with_suffix('')}_{number:06d}", partial(_same, pixels), pixels, about
                )
            number += 1
        if not number:
            raise DataError(f"{path}: no film that OpenCV can read.")
    finally:
        film.release()


def _same(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _fetch(address: str, reader: ImageReader) -> np.ndarray:
    """The image at an address; nothing is kept on disk."""
    try:
        with urllib.request.urlopen(address, timeout=WAIT_SECONDS) as answer:
            content = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError) as problem:  # of the network, of the server, or no address
        reason = getattr(problem, "reason", None) or problem
        raise DataError(f"{address} cannot be fetched: {reason}.") from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{address} has more than {MOST_BYTES >> 20} MiB: download it first.")
    with tempfile.NamedTemporaryFile(suffix=Path(urllib.parse.urlparse(address).path).suffix) as file:
        file.write(content)
        file.flush()
        try:
            return reader.read(file.name)
        except DataError as problem:
            raise DataError(str(problem).replace(file.name, address)) from None
