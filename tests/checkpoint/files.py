"""Builds PyTorch files and pickles byte by byte, so that tests can make honest and dishonest ones."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C
ITEM_SIZES = {"FloatStorage": 4, "LongStorage": 8, "BFloat16Storage": 2, "HalfStorage": 2}


def plain(value: object) -> bytes:
    """The opcodes of a plain value, without header and stop."""
    return pickle.dumps(value, 2)[2:-1]


def glob(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return glob(module, name) + pickle.MARK + b"".join(arguments) + pickle.TUPLE + pickle.REDUCE


def dictionary(**items: bytes) -> bytes:
    body = b"".join(plain(key) + value for key, value in items.items())
    return pickle.EMPTY_DICT + pickle.MARK + body + pickle.SETITEMS


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + pickle.STOP


def storage(kind: str, key: object, size: object, *view: bytes) -> bytes:
    parts = (plain("storage"), glob("torch", kind), plain(key), plain("cpu"), plain(size), *view)
    return pickle.MARK + b"".join(parts) + pickle.TUPLE + pickle.BINPERSID


def tensor(
    shape: object = (2, 3),
    strides: object = (3, 1),
    offset: object = 0,
    size: object = 6,
    key: object = "0",
    kind: str = "FloatStorage",
    view: bytes | None = None,
) -> bytes:
    extra = () if view is None else (view,)
    arguments = (storage(kind, key, size, *extra), plain(offset), plain(shape), plain(strides), plain(False))
    return call("torch._utils", "_rebuild_tensor_v2", *arguments, call("collections", "OrderedDict"))


def torch_zip(
    body: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED, **members: bytes
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(body))
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue()


def torch_legacy(body: bytes, storages: dict[str, tuple[int, bytes]], order: str = "<") -> bytes:
    """`storages`: key -> (number of elements, bytes)."""
    system = {"protocol_version": 1001, "little_endian": order == "<", "type_sizes": {"int": 4}}
    parts = [pickle.dumps(value, 2) for value in (MAGIC, 1001, system)]
    parts += [program(body), pickle.dumps(list(storages), 2)]
    parts += [struct.pack(order + "q", count) + data for count, data in storages.values()]
    return b"".join(parts)


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return stream.getvalue()
