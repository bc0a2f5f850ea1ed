"""PyTorch's two `.pth` formats: the zip archive of today and the stream of pickles before PyTorch 1.6.

Both hold a pickle whose tensors are persistent identifiers `("storage", type, key, device, size[, view])`;
the elements lie beside it. Formats as described in PyTorch's serialization notes and seen in its files.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO

from jld.checkpoint.arrays import STORAGE_CODES, Storage, checked_shape, item_size
from jld.checkpoint.malformed import Budget, MalformedError
from jld.checkpoint.pickle_builders import BUILDERS
from jld.checkpoint.pickle_machine import MAX_KEY_LENGTH, Global, PickleMachine

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_MAGIC_BYTES = LEGACY_MAGIC.to_bytes(10, "little")
LEGACY_PROTOCOL = 1001
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The pickle of a detector holds some hundred kilobytes of names, which PyTorch does not compress.
PICKLE_BYTES, PICKLE_RATIO = 1 << 19, 32
# Bytes per element of the kinds we do not read, so that the storages after them are still found.
_OTHER_SIZES = {
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
}


class ZipSource:
    """Storages as members `<root>/data/<key>` of an archive; keeps the latest for tensors that share it."""

    def __init__(self, archive: zipfile.ZipFile, root: str, budget: Budget) -> None:
        self.archive, self.root = archive, root
        self.members = {info.filename: info for info in archive.infolist()}
        self.byte_order = "<"
        if f"{root}byteorder" in self.members:
            self.byte_order = ">" if self.member("byteorder", budget).strip() == b"big" else "<"
        self.latest: tuple[str | None, bytes] = (None, b"")

    def size(self, key: str) -> int:
        """Bytes of a storage.

        Raises:
            MalformedError: the archive lacks it.
        """
        name = f"{self.root}data/{key}"
        if name not in self.members:
            raise MalformedError(f"the archive lacks the member {name!r} its pickle refers to")
        return self.members[name].file_size

    def read(self, key: str, num_bytes: int, budget: Budget) -> memoryview:
        if self.latest[0] != key:
            self.latest = key, self.member(f"data/{key}", budget)
        return memoryview(self.latest[1])[:num_bytes]

    def member(self, name: str, budget: Budget) -> bytes:
        """The unpacked bytes of a member; its checksum is verified."""
        info = self.members[self.root + name]
        if info.compress_type not in _COMPRESSIONS:
            raise MalformedError(f"the member {info.filename!r} is compressed in a way PyTorch never writes")
        budget.spend(info.file_size, f"the member {info.filename!r}")
        with self.archive.open(info) as stream:
            data = stream.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise MalformedError(f"the member {info.filename!r} is not as long as the archive says")
        return data


class LegacySource:
    """Storages that follow the pickles in the stream; their places are known once the pickle was read."""

    def __init__(self, stream: BinaryIO, byte_order: str) -> None:
        self.stream, self.byte_order = stream, byte_order
        self.places: dict[str, int] = {}
        self.latest: tuple[str | None, bytes] = (None, b"")

    def read(self, key: str, num_bytes: int, budget: Budget) -> memoryview:
        if self.latest[0] != key or len(self.latest[1]) < num_bytes:
            budget.spend(num_bytes, f"storage {key!r}")
            self.stream.seek(self.places[key])
            self.latest = key, self.stream.read(num_bytes)
        return memoryview(self.latest[1])[:num_bytes]


def _storage_fields(identifier: object) -> tuple[Global, str, int, object]:
    """(type, key, number of elements, view) of a persistent identifier."""
    if not isinstance(identifier, tuple) or len(identifier) not in (5, 6):
        raise MalformedError("its pickle holds a persistent identifier no version of PyTorch writes")
    tag, kind, key, _, size = identifier[:5]
    if tag not in ("storage", b"storage") or not isinstance(kind, Global) or not isinstance(key, str):
        raise MalformedError("its pickle holds a persistent identifier that is not a storage")
    if len(key) > MAX_KEY_LENGTH:
        raise MalformedError("its pickle names a storage with too many letters")
    checked_shape([size], "the size of a storage")
    return kind, key, size, identifier[5] if len(identifier) == 6 else None


def _storage_code(kind: Global) -> tuple[bool, str | None]:
    """(is it a storage we can read, its element code or None for plain bytes)."""
    if kind.name in ("UntypedStorage", "_UntypedStorage"):
        return True, None
    code = STORAGE_CODES.get(kind.name)
    return kind.module.split(".")[0] == "torch" and code is not None, code


def read_zip(stream: BinaryIO, budget: Budget) -> tuple[object, PickleMachine]:
    """The pickled value of a zip `.pth`, with the machine that read it.

    Raises:
        MalformedError: it is another kind of archive, damaged, or hostile.
    """
    archive = zipfile.ZipFile(stream)
    root = _archive_root(archive)
    source = ZipSource(archive, root, budget)

    def load(identifier: object) -> object:
        kind, key, size, _ = _storage_fields(identifier)
        readable, code = _storage_code(kind)
        if not readable:
            return machine.skip(str(kind))
        if source.size(key) < size * (item_size(code) if code else 1):
            raise MalformedError(f"storage {key!r} is shorter than the {size} elements its pickle promises")
        return Storage(source, key, code, size)

    machine = PickleMachine(BUILDERS, load)
    info = source.members[f"{root}data.pkl"]
    if info.file_size > PICKLE_BYTES + PICKLE_RATIO * info.compress_size:
        raise MalformedError("its data.pkl unfolds to more than any honest one of its size")
    data = source.member("data.pkl", budget)
    return machine.run(io.BytesIO(data), len(data)), machine


def _archive_root(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise MalformedError(f"the archive has a member named {name[:80]!r}, which points outside it")
    if len(set(names)) != len(names):
        raise MalformedError("the archive has two members of the same name")
    pickles = [name for name in names if PurePosixPath(name).name == "data.pkl" and name.count("/") <= 1]
    if len(pickles) != 1:
        shown = ", ".join(repr(name[:60]) for name in names[:4]) or "nothing"
        raise MalformedError(
            f"it is an archive but not a PyTorch checkpoint (it holds {shown}; expected one data.pkl)"
        )
    root = pickles[0][: -len("data.pkl")]
    if f"{root}constants.pkl" in names:
        raise MalformedError("it is a TorchScript program, save its state_dict() with torch.save instead")
    return root


def read_legacy(stream: BinaryIO, size: int) -> tuple[object, PickleMachine]:
    """The pickled value of a `.pth` written before PyTorch 1.6, with the machine that read it.

    Raises:
        MalformedError: it is damaged or hostile.
    """
    source = LegacySource(stream, "<")
    sizes: dict[str, tuple[int, int]] = {}  # key -> (elements, bytes per element)
    machine = PickleMachine(BUILDERS)
    machine.persistent = _legacy_loader(source, sizes, machine)
    if machine.run(stream, size) != LEGACY_MAGIC or machine.run(stream, size) != LEGACY_PROTOCOL:
        raise MalformedError("its header is not that of a PyTorch file")
    system = machine.run(stream, size)
    if isinstance(system, dict) and system.get("little_endian") is False:
        source.byte_order = ">"
    value = machine.run(stream, size)
    keys = machine.run(stream, size)
    if not isinstance(keys, list) or set(map(type, keys)) - {str} or set(keys) != set(sizes):
        raise MalformedError("its list of storages does not match its pickle")
    for key in keys:
        _place_storage(stream, size, source, key, sizes[key])
    return value, machine


def _legacy_loader(
    source: LegacySource, sizes: dict[str, tuple[int, int]], machine: PickleMachine
) -> Callable[[object], object]:
    def load(identifier: object) -> object:
        if isinstance(identifier, tuple) and identifier and identifier[0] in ("module", b"module"):
            return identifier[1]  # a whole pickled network: (tag, class, file, source text)
        kind, key, size, view = _storage_fields(identifier)
        readable, code = _storage_code(kind)
        num_bytes = item_size(code) if code else _OTHER_SIZES.get(kind.name)
        if num_bytes is None:
            raise MalformedError(f"it holds a storage of the unknown kind {kind}")
        if sizes.setdefault(key, (size, num_bytes)) != (size, num_bytes):
            raise MalformedError(f"storage {key!r} is described in two ways")
        if not readable:
            return machine.skip(str(kind))
        if view is None:
            return Storage(source, key, code, size)
        if not isinstance(view, tuple) or len(view) != 3:
            raise MalformedError("the view of a storage is damaged")
        first, length = checked_shape(view[1:], "the view of a storage")
        if first + length > size:
            raise MalformedError(f"a view reaches beyond storage {key!r}")
        return Storage(source, key, code, length, base=first)

    return load


def _place_storage(
    stream: BinaryIO, size: int, source: LegacySource, key: str, expected: tuple[int, int]
) -> None:
    """Note where a storage's elements begin and move behind them."""
    header = stream.read(8)
    order = source.byte_order
    if len(header) != 8 or struct.unpack(order + "q", header)[0] != expected[0]:
        raise MalformedError(
            f"it is truncated or storage {key!r} does not have the {expected[0]} elements promised"
        )
    source.places[key] = stream.tell()
    end = stream.tell() + expected[0] * expected[1]
    if end > size:
        raise MalformedError(f"it is truncated within storage {key!r}")
    stream.seek(end)
