"""Drawn pictures as a film, in the first codec that OpenCV can write here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from jld.errors import DataError

# Suffix and codec, best first; OpenCV writes the last one without any library.
CODECS = ((".mp4", "mp4v"), (".avi", "XVID"), (".avi", "MJPG"))


class FilmWriter:
    """Writes pictures of one size, one after the other; the file is there once it is whole.

    Args:
        path: of the film without its suffix, which the codec decides on; the folder is made when missing.
        rate: pictures per second.
        size: (height, width) px.
    Raises:
        DataError: OpenCV can write no film there.
    """

    def __init__(self, path: str | Path, rate: float, size: tuple[int, int]):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.size = size
        for suffix, codec in CODECS:
            self.path = path.with_name(path.name + suffix)
            self._partial = path.with_name(f".{path.name}.partial{suffix}")
            self._writer = cv2.VideoWriter(
                str(self._partial), cv2.VideoWriter.fourcc(*codec), rate, (size[1], size[0])
            )
            if self._writer.isOpened():
                return
            self._partial.unlink(missing_ok=True)
        tried = ", ".join(f"{codec} in {suffix}" for suffix, codec in CODECS)
        raise DataError(f"{path}: OpenCV can write no film of {size[1]}x{size[0]} px there; tried {tried}.")

    def write(self, picture: np.ndarray) -> None:
        """Adds [H, W, 3] uint8 BGR.

        Raises:
            DataError: it has another size, which OpenCV would pass over.
        """
        if picture.shape[:2] != self.size:
            raise DataError(f"{self.path}: a picture of {picture.shape[:2]} px in a film of {self.size} px.")
        self._writer.write(picture)

    def close(self, *, is_whole: bool = True) -> None:
        """Ends the film; one that is not whole leaves no file."""
        self._writer.release()
        if is_whole:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)
