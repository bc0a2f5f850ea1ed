"""Writes a `.pth` that PyTorch reads with `weights_only=True`, without PyTorch.

The file is PyTorch's zip archive: a pickle of protocol 2 that names its tensor builder and storage classes,
and one stored member of raw elements per tensor. The pickle is put together opcode by opcode, because
Python's pickler could only name those classes by importing them.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jld.checkpoint.arrays import BFLOAT16, STORAGE_CODES
from jld.checkpoint.atomic import atomic_write
from jld.errors import CheckpointError

_ROOT = "archive"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that equal weights give equal bytes
_STORAGE_OF = {code: name for name, code in STORAGE_CODES.items() if code != BFLOAT16}


class _Emitter:
    """Appends opcodes for plain data and tensors; collects the tensors' elements."""

    def __init__(self) -> None:
        self.parts: list[bytes] = [pickle.PROTO + b"\x02"]
        self.storages: list[np.ndarray] = []

    def name(self, module: str, name: str) -> None:
        self.parts.append(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def value(self, value: object, where: str) -> None:
        """Any plain value.

        Raises:
            CheckpointError: it is not plain data.
        """
        if value is None or isinstance(value, bool):
            self.parts.append({None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value])
        elif isinstance(value, int):
            self.integer(value)
        elif isinstance(value, float):
            self.parts.append(pickle.BINFLOAT + struct.pack(">d", value))
        elif isinstance(value, str):
            data = value.encode("utf-8")
            self.parts.append(pickle.BINUNICODE + struct.pack("<I", len(data)) + data)
        elif isinstance(value, list | tuple):
            self.sequence(value, where)
        elif isinstance(value, Mapping):
            self.mapping(value, where, ordered=False)
        elif isinstance(value, np.ndarray):
            self.tensor(value, where)
        else:
            raise CheckpointError(
                f"{where} is a {type(value).__name__}, which a .pth for other programs cannot hold."
            )

    def integer(self, value: int) -> None:
        if -(1 << 31) <= value < 1 << 31:
            self.parts.append(pickle.BININT + struct.pack("<i", value))
        else:
            data = pickle.encode_long(value)
            self.parts.append(pickle.LONG1 + bytes([len(data)]) + data)

    def sequence(self, values: list | tuple, where: str) -> None:
        is_list = isinstance(values, list)
        self.parts.append(pickle.EMPTY_LIST + pickle.MARK if is_list else pickle.MARK)
        for index, value in enumerate(values):
            self.value(value, f"{where}[{index}]")
        self.parts.append(pickle.APPENDS if is_list else pickle.TUPLE)

    def mapping(self, values: Mapping, where: str, ordered: bool) -> None:
        if ordered:
            self.name("collections", "OrderedDict")
            self.parts.append(pickle.EMPTY_TUPLE + pickle.REDUCE)
        else:
            self.parts.append(pickle.EMPTY_DICT)
        self.parts.append(pickle.MARK)
        for key, value in values.items():
            self.value(key, f"{where} key")
            self.value(value, f"{where}[{key!r}]")
        self.parts.append(pickle.SETITEMS)

    def tensor(self, values: np.ndarray, where: str) -> None:
        """A call of PyTorch's builder with the identifier of a storage of its own."""
        values = np.asarray(values, order="C")
        code = values.dtype.str[1:]
        if code not in _STORAGE_OF:
            raise CheckpointError(f"{where} holds {values.dtype}, for which PyTorch has no storage.")
        strides = (
            [step // values.itemsize for step in values.strides] if values.size else _strides(values.shape)
        )
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.parts.append(pickle.MARK + pickle.MARK)
        self.value("storage", where)
        self.name("torch", _STORAGE_OF[code])
        for part in (str(len(self.storages)), "cpu", values.size):
            self.value(part, where)
        self.parts.append(pickle.TUPLE + pickle.BINPERSID)
        for part in (0, values.shape, tuple(strides), False):
            self.value(part, where)
        self.mapping({}, where, ordered=True)  # backward hooks: none
        self.parts.append(pickle.TUPLE + pickle.REDUCE)
        self.storages.append(values.astype(values.dtype.newbyteorder("<"), copy=False))


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Strides in elements of a C-ordered tensor without elements."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= max(size, 1)
    return steps[::-1]


def write_torch(
    path: str | Path, state: Mapping[str, np.ndarray], meta: Mapping | None = None, *, key: str = "state_dict"
) -> None:
    """Write `{meta, state_dict}` as mmDetection lays it out, or with another `key`; equal input, equal bytes.

    Args:
        state: names to arrays of numbers or booleans.
        meta: plain data: text, numbers, lists, tuples, dictionaries.
    Raises:
        CheckpointError: something is not plain data, or the disk is full.
    """
    emitter = _Emitter()
    emitter.parts.append(pickle.EMPTY_DICT + pickle.MARK)
    emitter.value("meta", "file")
    emitter.value(dict(meta or {}), "meta")
    emitter.value(key, "file")
    emitter.mapping(state, key, ordered=True)
    emitter.parts.append(pickle.SETITEMS + pickle.STOP)

    def writer(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "data.pkl", b"".join(emitter.parts))
            _add(archive, "byteorder", b"little")
            for number, values in enumerate(emitter.storages):
                _add(archive, f"data/{number}", values.tobytes())
            _add(archive, "version", b"3\n")

    atomic_write(path, writer)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{name}", _EPOCH), data)
