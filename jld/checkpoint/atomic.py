"""Files appear whole or not at all: temporary name, flush to disk, rename."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jld.errors import CheckpointError

_MAX_STEM = 200  # file systems allow 255 bytes for a name


def atomic_write(path: str | Path, writer: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part.

    Args:
        path: destination; its folder is made if needed, and a symbolic link is followed.
        writer: called once with a binary stream.
    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the old file stays.
    """
    path = Path(path)
    target = path.resolve()
    temporary = target.parent / f".{target.name[:_MAX_STEM]}.{secrets.token_hex(4)}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_to_disk(temporary, writer)
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        raise CheckpointError(_explain(path, target.parent, error)) from error


def _write_to_disk(path: Path, writer: Callable[[BinaryIO], object]) -> None:
    # Unlike `tempfile`, which makes private files, this keeps the permissions a plain open() would give.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        writer(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    # The rename itself is only safe against a power cut once the folder's entry is on disk.
    with contextlib.suppress(OSError):  # some network file systems cannot sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(path: Path, folder: Path, error: OSError) -> str:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / (1 << 20)
    reason = error.strerror or str(error)
    return (
        f"Cannot write {path}: {reason}; {free:.0f} MB are free in {folder}, an older file of that name is "
        f"unchanged; free some space or choose another folder."
    )
