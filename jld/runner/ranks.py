"""What the processes of an `mpirun` tell each other outside of training steps: arrays and text, no objects.

Every function here must be called by all ranks, in the same order; in one process each is the identity.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from jld.utils.distributed import is_main, rank, world_size


def sum_over_ranks(array: np.ndarray) -> np.ndarray:
    """The sum of every rank's array, on all of them.

    Args:
        array: float32, int32 or uint8, of the same shape everywhere.
    """
    if world_size() == 1:
        return array
    var = _held(array)
    jt.mpi.var_all_reduce(var)
    return var.numpy()


def largest_over_ranks(number: int) -> int:
    """The largest of every rank's small number (below 128), on all of them."""
    if world_size() == 1:
        return number
    seen = np.zeros(128, np.int32)
    seen[number] = 1
    return int(np.flatnonzero(sum_over_ranks(seen))[-1])


def from_main(text: str) -> str:
    """The text that rank 0 calls this with, on all ranks."""
    if world_size() == 1:
        return text
    data = np.frombuffer(text.encode(), np.uint8)
    size = _held(np.array([len(data)], np.int32))
    jt.mpi.var_broadcast(size)
    sent = _held(data if is_main() else np.zeros(int(size.numpy()[0]), np.uint8))
    jt.mpi.var_broadcast(sent)
    return sent.numpy().tobytes().decode()


def require_agreement(text: str, what: str) -> None:
    """Stops a rank whose text differs from that of rank 0.

    Args:
        what: the text means, for the message.
    Raises:
        ConfigError: see above.
    """
    expected = from_main(text)
    if text != expected:
        raise ConfigError(
            f"rank {rank()} starts with {what} {text}, rank 0 with {expected}: every process must run the "
            "same command and see the same files, work_dir included."
        )


def gather_detections(detections: list[Detections], image_ids: Sequence[Any]) -> list[Detections]:
    """The detections of all ranks on rank 0, each image once, in the order of `image_ids`; none elsewhere.

    Args:
        detections: all of one form.
        image_ids: of the whole dataset.
    """
    if world_size() == 1:
        return detections
    data = np.frombuffer(_pack(detections, image_ids), np.uint8)
    sizes = np.zeros(world_size(), np.int32)
    sizes[rank()] = len(data)
    sizes = sum_over_ranks(sizes)
    # Each rank fills its own row; the sum over ranks is then everybody's rows.
    table = np.zeros((world_size(), int(sizes.max())), np.uint8)
    table[rank(), : len(data)] = data
    table = _held(table)
    jt.mpi.var_reduce(table)
    if not is_main():
        return []
    found: dict[int, Detections] = {}
    for row, size in zip(table.numpy(), sizes.tolist(), strict=True):
        found |= _unpack(row[:size].tobytes(), image_ids)
    return [found[index] for index in sorted(found)]


def _held(array: np.ndarray) -> jt.Var:
    """A Var whose memory is there, as the functions that work in it need it."""
    var = jt.array(array)
    jt.sync([var])
    return var


def _pack(detections: Sequence[Detections], image_ids: Sequence[Any]) -> bytes:
    position = {image_id: index for index, image_id in enumerate(image_ids)}
    arrays = {
        "index": np.array([position[found.img_id] for found in detections], np.int64),
        "length": np.array([len(found) for found in detections], np.int64),
    }
    if detections:
        for name in (detections[0].form, "scores", "labels"):
            arrays[f"field.{name}"] = np.concatenate([getattr(found, name) for found in detections])
        masks = json.dumps([found.masks and list(found.masks) for found in detections])
        arrays["masks"] = np.frombuffer(masks.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes, image_ids: Sequence[Any]) -> dict[int, Detections]:
    """{position of the image: what was found in it}."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        index, ends = arrays["index"].tolist(), np.cumsum(arrays["length"])[:-1]
        columns = {
            name.removeprefix("field."): np.split(arrays[name], ends)
            for name in arrays.files
            if name.startswith("field.")
        }
        masks = json.loads(arrays["masks"].tobytes()) if index else []
    return {
        place: Detections(
            image_ids[place], masks=masks[k], **{name: rows[k] for name, rows in columns.items()}
        )
        for k, place in enumerate(index)
    }
