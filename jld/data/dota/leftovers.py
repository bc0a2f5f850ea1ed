"""One run at a time in a folder of patches, and what killed runs leave in it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from jld.data.dota.names import PATTERN
from jld.errors import DataError

# What `jld.checkpoint.atomic_write` calls a file until it is whole.
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other runs out of it; one that is at work there is waited for.

    The lock ends with its process, however that ends. Where a file system has no locks there is none.

    Raises:
        DataError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as problem:
        raise DataError(f"{folder}: folder cannot be made, {problem.strerror}.") from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning("%s: another run is at work here; waiting until it has ended.", folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        logger.warning("%s: its file system has no locks; let one run at a time work in it.", folder)


def remove_temporaries(folders: Sequence[Path]) -> None:
    """Removes what a killed run had begun to write; only under `hold_folder`, as others may be writing."""
    for folder in filter(Path.is_dir, folders):
        for file in folder.iterdir():
            if TEMPORARY.fullmatch(file.name):
                file.unlink(missing_ok=True)


def remove_unknown(folders: Sequence[Path], names: Collection[str]) -> None:
    """Removes files that are named like patches and are none of them: a run was killed before its mark, or
    their image is gone.
    """
    for folder in filter(Path.is_dir, folders):
        for file in folder.iterdir():
            if file.stem not in names and file.suffix in (".png", ".txt") and PATTERN.fullmatch(file.stem):
                file.unlink(missing_ok=True)
