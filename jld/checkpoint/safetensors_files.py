"""safetensors files: arrays and text metadata, nothing else. https://huggingface.co/docs/safetensors"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import save

from jld.checkpoint.arrays import BFLOAT16, decode
from jld.checkpoint.atomic import atomic_write
from jld.checkpoint.malformed import Budget, MalformedError, reading
from jld.errors import CheckpointError

_CODES = {
    "F16": "f2",
    "BF16": BFLOAT16,
    "F32": "f4",
    "F64": "f8",
    "I8": "i1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
    "U8": "u1",
    "U16": "u2",
    "U32": "u4",
    "U64": "u8",
    "BOOL": "b1",
}
_METADATA_KEY = "__metadata__"


def write_safetensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write named arrays and text metadata; equal input gives equal bytes.

    Raises:
        CheckpointError: metadata that is not text, an array of objects, or a disk that is full.
    """
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise CheckpointError(
                f"{path}: metadata {key!r} must map text to text, not to {type(value).__name__}."
            )
    plain = {}
    for name in sorted(arrays):
        values = np.asarray(arrays[name], order="C")
        if values.dtype.kind not in "fiub":
            raise CheckpointError(
                f"{path}: {name!r} holds {values.dtype}, only numbers and booleans can be stored."
            )
        plain[name] = values.astype(values.dtype.newbyteorder("="), copy=False)
    data = _with_metadata(save(plain), metadata)
    atomic_write(path, lambda stream: stream.write(data))


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    # The package orders metadata by a seeded hash, which would give one model a new checksum in every run.
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header = {_METADATA_KEY: dict(sorted(metadata.items())), **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned to eight bytes
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def read_safetensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, text metadata) of a safetensors file; bfloat16 becomes float32.

    Raises:
        CheckpointError: missing, damaged, or holding element types numpy lacks.
    """
    path = Path(path)
    with reading(path):
        data = path.read_bytes()
        if not looks_like_safetensors(data[:9], len(data)):
            raise MalformedError("it is no safetensors file, or a truncated one")
        arrays, metadata, skipped = parse_safetensors(data, Budget(len(data)))
        if skipped:
            raise MalformedError(f"{skipped[0]} cannot be held in an array")
    return arrays, metadata


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether the first nine bytes are a header length that fits the file and an opening brace."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8


def parse_safetensors(data: bytes, budget: Budget) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """(arrays, metadata, names of tensors whose type numpy lacks) of a whole file.

    Raises:
        MalformedError: the package rejects the header.
    """
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise MalformedError(f"it is a damaged safetensors file ({error})") from error
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length]).get(_METADATA_KEY) or {}
    arrays, skipped = {}, []
    for name, entry in entries:
        code = _CODES.get(entry["dtype"])
        if code is None:
            skipped.append(f"{name} of type {entry['dtype']}")
            continue
        raw = bytes(entry["data"])
        budget.spend(2 * len(raw), f"the tensor {name!r}")
        arrays[name] = np.array(decode(raw, code).reshape(entry["shape"]), order="C")
    return arrays, metadata, skipped
