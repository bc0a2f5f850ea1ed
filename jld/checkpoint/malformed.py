"""What the low-level readers raise, the budget they spend, and how a user hears of it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from jld.errors import CheckpointError

MEGABYTE = 1 << 20
MAX_LINE = 1 << 16
# What damaged input makes the standard library raise; everything else is a bug of ours and stays visible.
_DAMAGE = (
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class MalformedError(Exception):
    """A file breaks its format; the message is a phrase that completes "Cannot read checkpoint X: "."""


class Budget:
    """Bytes that reading one file may unfold to.

    A checkpoint is mostly arrays stored once, so what it unfolds to is near its size. Tied weights, shared
    storages and compression give a small factor; a bomb gives a huge one.

    Args:
        file_size: bytes on disk.
        factor: how many times its own size a file may unfold to.
        floor: bytes that are always allowed, so that tiny files with expanded tensors can be read.
    """

    def __init__(self, file_size: int, factor: int = 64, floor: int = 64 * MEGABYTE) -> None:
        self.limit = floor + factor * file_size
        self.spent = 0

    def spend(self, num_bytes: int, what: str) -> None:
        """Count bytes about to be allocated.

        Raises:
            MalformedError: the file would unfold to more than the limit.
        """
        self.spent += num_bytes
        if self.spent > self.limit:
            megabytes = self.limit // MEGABYTE
            raise MalformedError(
                f"it unfolds to more than {megabytes} MB at {what}, which no honest file of its size does"
            )


class BoundedStream:
    """The part of a binary stream a pickle may read; a length beyond the end fails before allocation."""

    def __init__(self, stream: BinaryIO, end: int) -> None:
        self.stream, self.end = stream, end

    def tell(self) -> int:
        return self.stream.tell()

    def read(self, size: int) -> bytes:
        if size < 0 or size > self.end - self.stream.tell():
            raise MalformedError("it is truncated or declares more data than it holds")
        return self.stream.read(size)

    def readline(self) -> bytes:
        return self.stream.readline(min(MAX_LINE, self.end - self.stream.tell()))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file's content into one sentence that names the file."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise MalformedError("it is a pipe, a socket or a device and no file")  # never waited for
        yield
    except MalformedError as error:
        raise CheckpointError(f"Cannot read checkpoint {path}: {error}.") from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"Cannot read checkpoint {path}: {error.strerror or error}.") from error
    except _DAMAGE as error:
        detail = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CheckpointError(f"Cannot read checkpoint {path}: it is damaged ({detail}).") from error
