"""The file a run resumes from: JDet's outer pickle layout, holding arrays and plain data only.

Keys: `meta, model, scheduler, optimizer` as in JDet, and `distill, hooks, rng, data_position`; earlier files
have the state of the hook `ema` under a key of its own. The pickle has Jittor's checksum trailer, so
`jittor.load` reads it too; we read it back through the machine that runs nothing.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jld.checkpoint.atomic import atomic_write
from jld.checkpoint.malformed import Budget, MalformedError, reading
from jld.checkpoint.pickle_files import TRAILER
from jld.checkpoint.plain import MAX_DEPTH, Unfolder
from jld.checkpoint.reader import HEAD_BYTES, open_pickled, sniff
from jld.errors import CheckpointError

KEYS = ("meta", "model", "scheduler", "optimizer", "distill", "hooks", "rng", "ema", "data_position")
REQUIRED_KEYS = ("meta", "model")
_PROTOCOL = 4  # the newest that JDet's oldest supported Python reads
_SCALARS = (str, bytes, int, float, bool, type(None))


class _HashingStream:
    """Passes bytes on and keeps their SHA-1."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest = stream, hashlib.sha1(usedforsecurity=False)

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.stream.write(data)


def write_training_state(path: str | Path, state: Mapping) -> None:
    """Write a training state so that a crash never leaves half of it.

    Args:
        path: destination, usually `checkpoints/last.pkl`.
        state: nested dictionaries, lists and tuples of arrays, numbers and text; keys as in `KEYS`.
    Raises:
        CheckpointError: something in it is not plain data (with its place), or the disk is full.
    """
    _check_keys(path, state)
    _check_plain(path, dict(state), "state", 0)

    def writer(stream: BinaryIO) -> None:
        hashing = _HashingStream(stream)
        pickle.dump(dict(state), hashing, protocol=_PROTOCOL)
        stream.write(hashing.digest.digest() + TRAILER)

    atomic_write(path, writer)


def read_training_state(path: str | Path) -> dict:
    """The whole training state of a file written by `write_training_state` or by JDet.

    Raises:
        CheckpointError: missing, damaged, or not a training state.
    """
    path = Path(path)
    with reading(path), path.open("rb") as stream:
        size = path.stat().st_size
        file_format = sniff(stream.read(HEAD_BYTES), size)
        if file_format != "pickle":
            raise MalformedError(
                f"it is a {file_format} file and no training state to resume from; load it as weights"
            )
        budget = Budget(size)
        value, machine = open_pickled(stream, size, file_format, budget)
        if not isinstance(value, dict) or any(key not in value for key in REQUIRED_KEYS):
            raise MalformedError(
                "it holds no 'meta' and 'model', it is no training state; load it as weights"
            )
        return Unfolder(budget, machine.skipped, is_strict=True).unfold(value, "state")


def hook_states(state: Mapping) -> dict[str, dict]:
    """{name of the hook: its state} of a training state of any version."""
    old = {"ema": state["ema"]} if isinstance(state.get("ema"), dict) and state["ema"] else {}
    return old | (state["hooks"] if isinstance(state.get("hooks"), dict) else {})


def averaged_weights(state: Mapping) -> dict[str, np.ndarray]:
    """{parameter name: array} of the running average in a training state; empty where there is none."""
    average = hook_states(state).get("ema")
    weights = average.get("state") if isinstance(average, dict) else None
    return weights if isinstance(weights, dict) else {}


def _check_keys(path: str | Path, state: Mapping) -> None:
    missing = [key for key in REQUIRED_KEYS if key not in state]
    unknown = [key for key in state if key not in KEYS]
    if missing or unknown:
        raise CheckpointError(
            f"{path}: a training state has the keys {', '.join(KEYS)}; missing {missing}, unknown {unknown}."
        )


def _check_plain(path: str | Path, value: object, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CheckpointError(f"{path}: {where[:200]} is nested more than {MAX_DEPTH} levels deep.")
    if not _is_plain(value):
        raise CheckpointError(
            f"{path}: {where} is a {type(value).__module__}.{type(value).__qualname__}; a training state "
            f"holds arrays, numbers, text, and lists, tuples and dictionaries of them."
        )
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(path, item, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(path, item, f"{where}[{index}]", depth + 1)


def _is_plain(value: object) -> bool:
    """Whether a value, its children aside, comes back from the file as it went in."""
    if isinstance(value, np.ndarray | np.generic):
        is_exact = isinstance(value, np.generic) or type(value) is np.ndarray
        return is_exact and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8
    if isinstance(value, dict):
        return type(value) in (dict, OrderedDict) and all(isinstance(key, str | int) for key in value)
    return type(value) in (*_SCALARS, list, tuple)
