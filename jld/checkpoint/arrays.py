"""Arrays as files describe them: a storage, an offset, a shape and strides, checked before they are read.

Nothing here copies data until `materialise`; describing a tensor that nobody asks for costs nothing.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from jld.checkpoint.malformed import Budget, MalformedError

BFLOAT16 = "bf16"
MAX_DIMS = 32  # numpy's own limit; PyTorch's is 64, no detector needs more than 5

# PyTorch storage classes and dtypes -> numpy codes; what is missing (complex, quantised, float8) is skipped.
STORAGE_CODES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
TORCH_DTYPE_CODES = {
    "float32": "f4",
    "float": "f4",
    "float64": "f8",
    "double": "f8",
    "float16": "f2",
    "half": "f2",
    "bfloat16": BFLOAT16,
    "int64": "i8",
    "long": "i8",
    "int32": "i4",
    "int": "i4",
    "int16": "i2",
    "short": "i2",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "uint64": "u8",
    "bool": "b1",
}
NUMPY_CODES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


def item_size(code: str) -> int:
    """Bytes of one element of a numpy code or of bfloat16."""
    return 2 if code == BFLOAT16 else int(code[1:])


def checked_shape(shape: object, what: str) -> tuple[int, ...]:
    """The shape as a tuple of non-negative integers.

    Raises:
        MalformedError: it is no sequence of non-negative integers or has too many entries.
    """
    if not isinstance(shape, tuple | list) or len(shape) > MAX_DIMS:
        raise MalformedError(f"{what} is not a short sequence of integers")
    if any(type(size) is not int or size < 0 or size.bit_length() > 62 for size in shape):
        raise MalformedError(f"{what} holds something that is not a non-negative 62-bit integer")
    return tuple(shape)


def decode(raw: bytes | memoryview, code: str, byte_order: str = "<") -> np.ndarray:
    """[E] the elements in native byte order; bfloat16 becomes float32 (exact)."""
    if code == BFLOAT16:
        upper = np.frombuffer(raw, dtype=byte_order + "u2").astype(np.uint32)
        return (upper << np.uint32(16)).view(np.float32)
    values = np.frombuffer(raw, dtype=byte_order + code)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


class Source(Protocol):
    """Whatever can hand out the bytes of a storage."""

    byte_order: str

    def read(self, key: str, num_bytes: int, budget: Budget) -> bytes | memoryview: ...


class Storage:
    """A run of elements in a file; `code` is None while untyped (bytes)."""

    __slots__ = ("base", "code", "key", "num_elements", "source")

    def __init__(self, source: Source, key: str, code: str | None, num_elements: int, base: int = 0) -> None:
        self.source, self.key, self.code, self.num_elements, self.base = source, key, code, num_elements, base


class TensorRecord:
    """A tensor as described in the file, not read yet.

    Args:
        storage: where its elements lie.
        offset: first element, counted in elements.
        shape: non-negative sizes.
        strides: in elements, non-negative; zero and overlapping strides are legal (expanded tensors).
        code: element type, for untyped storages.
    Raises:
        MalformedError: the shape reaches beyond the storage.
    """

    __slots__ = ("code", "num_stored", "offset", "shape", "span", "storage", "strides")

    def __init__(
        self, storage: Storage, offset: object, shape: object, strides: object, code: str | None
    ) -> None:
        self.storage = storage
        self.code = code or storage.code
        self.shape = checked_shape(shape, "the shape of a tensor")
        self.strides = checked_shape(strides, "the strides of a tensor")
        (self.offset,) = checked_shape([offset], "the offset of a tensor")
        if self.code is None or len(self.strides) != len(self.shape):
            raise MalformedError("a tensor has no element type or its strides do not match its shape")
        self.num_stored = storage.num_elements
        if storage.code is None:
            self.num_stored //= item_size(self.code)
        # Elements from the first to the last.
        self.span = 1 + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if (
            0 not in self.shape and self.offset + self.span > self.num_stored
        ) or self.offset > self.num_stored:
            raise MalformedError(
                f"a tensor of shape {list(self.shape)} reaches beyond its {self.num_stored} stored elements"
            )

    def materialise(self, budget: Budget) -> np.ndarray:
        """A fresh C-ordered array of the record's shape."""
        num_elements = math.prod(self.shape)
        budget.spend(num_elements * max(4, item_size(self.code)), f"a tensor of shape {list(self.shape)}")
        if num_elements == 0:
            return np.zeros(self.shape, decode(b"", self.code).dtype)
        storage, size = self.storage, item_size(self.code)
        raw = storage.source.read(storage.key, (storage.base + self.num_stored) * size, budget)
        # Only what the tensor spans: many small ones may share a large storage.
        start = storage.base + self.offset
        used = memoryview(raw)[start * size : (start + self.span) * size]
        if self.code == BFLOAT16 or storage.source.byte_order != "<":
            budget.spend(4 * self.span, f"a tensor of shape {list(self.shape)}")
        elements = decode(used, self.code, storage.source.byte_order)
        steps = [step * elements.itemsize for step in self.strides]
        # Safe: the constructor has checked that the last element lies inside the storage.
        return np.array(np.lib.stride_tricks.as_strided(elements, self.shape, steps), order="C")


class NumpyDtype:
    """An element type from a pickle; only numbers and booleans have a code."""

    __slots__ = ("byte_order", "code", "spelling")

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling
        name = spelling.lstrip("<>=|")
        self.code = name if name in NUMPY_CODES else None
        self.byte_order = ">" if spelling.startswith(">") else "<"


class NumpyRecord:
    """A numpy array from a pickle, filled by its BUILD step, not decoded yet."""

    __slots__ = ("dtype", "is_fortran", "is_scalar", "raw", "shape")

    def __init__(self, is_scalar: bool = False) -> None:
        self.is_scalar = is_scalar
        self.dtype: NumpyDtype | None = None
        self.shape: tuple[int, ...] = ()
        self.raw: bytes = b""
        self.is_fortran = False

    def fill(self, shape: object, dtype: object, is_fortran: object, raw: object) -> None:
        """Take over what the pickle says, checked.

        Raises:
            MalformedError: the bytes do not make up the shape.
        """
        if not isinstance(dtype, NumpyDtype):
            raise MalformedError("a numpy array has no element type")
        self.dtype, self.is_fortran = dtype, bool(is_fortran)
        self.shape = checked_shape(shape, "the shape of a numpy array")
        if dtype.code is None:
            return  # an object or string array: the tree walk skips it by name
        if not isinstance(raw, bytes | bytearray) or len(raw) != math.prod(self.shape) * item_size(
            dtype.code
        ):
            raise MalformedError(f"the data of a numpy array do not make up its shape {list(self.shape)}")
        self.raw = raw

    def materialise(self, budget: Budget) -> np.ndarray:
        """A fresh C-ordered array.

        Raises:
            MalformedError: the pickle never filled the array.
        """
        if self.dtype is None or self.dtype.code is None:
            raise MalformedError("a numpy array was announced but never filled")
        budget.spend(len(self.raw), f"a numpy array of shape {list(self.shape)}")
        values = decode(self.raw, self.dtype.code, self.dtype.byte_order)
        return np.array(values.reshape(self.shape, order="F" if self.is_fortran else "C"), order="C")


class JittorVar:
    """A pickled Jittor variable: one array; uint16 inside it stands for bfloat16, as Jittor writes it."""

    __slots__ = ("record",)

    def __init__(self, record: NumpyRecord) -> None:
        self.record = record

    def materialise(self, budget: Budget) -> np.ndarray:
        """A fresh C-ordered array."""
        values = self.record.materialise(budget)
        if values.dtype != np.uint16:
            return values
        return decode(values.astype("<u2").tobytes(), BFLOAT16).reshape(values.shape)


ArrayRecord = TensorRecord | NumpyRecord | JittorVar


def is_readable(record: ArrayRecord) -> bool:
    """Whether the element type is a number or a boolean."""
    if isinstance(record, JittorVar):
        record = record.record
    return isinstance(record, TensorRecord) or record.dtype is None or record.dtype.code is not None
