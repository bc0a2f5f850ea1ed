"""Files that take text line by line: logs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class LineFile:
    """A text file that only grows, one whole line at a time; a full disk costs lines and not the program.

    A line that an earlier process left half is ended first. Nothing is buffered: what `write` returned from
    survives the process.

    Args:
        path: missing folders are made.
        on_loss: told once, in a sentence, when a line could not be written.
    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, on_loss: Callable[[str], None]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._on_loss, self._is_said = path, on_loss, False
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._is_cut = self._ends_within_a_line()

    def write(self, line: str) -> None:
        """Appends a line, given without its end."""
        data = b"\n" * self._is_cut + line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            written = os.write(self._descriptor, data)
            reason = "the disk is full" if written < len(data) else ""
        except OSError as error:
            written, reason = 0, error.strerror or str(error)
        if written:
            self._is_cut = data[written - 1 : written] != b"\n"
        if reason and not self._is_said:
            self._is_said = True
            self._on_loss(f"{self.path} cannot be written ({reason}): lines of it are lost.")

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _ends_within_a_line(self) -> bool:
        try:
            size = os.fstat(self._descriptor).st_size
            return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        except OSError:  # a pipe or a device
            return False
