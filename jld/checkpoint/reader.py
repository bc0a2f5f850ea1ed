"""One function that reads every checkpoint a detector may come in, chosen by content and never by suffix."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jld.checkpoint.malformed import Budget, MalformedError, reading
from jld.checkpoint.names import detect_origin
from jld.checkpoint.pickle_files import read_pickle
from jld.checkpoint.pickle_machine import MAX_KEY_LENGTH, PickleMachine, Placeholder
from jld.checkpoint.plain import Unfolder, is_record
from jld.checkpoint.safetensors_files import looks_like_safetensors, parse_safetensors
from jld.checkpoint.torch_files import LEGACY_MAGIC_BYTES, read_legacy, read_zip
from jld.checkpoint.weights import available, how_to_get
from jld.errors import CheckpointError
from jld.utils.recursion import recursion_limit

HEAD_BYTES = 512
# Averages come last: they are read where a file holds nothing else.
_STATE_KEYS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "student",
    "net",
    "params",
    "weights",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "params_ema",
    "blobs",
)
_MODULES = re.compile(r"(module\.)+")
_TEXT_METADATA = (str, int, float, bool)


@dataclass
class Checkpoint:
    """What a file holds.

    Attributes:
        state: parameter and buffer names (without `module.`) -> arrays; bfloat16 has become float32.
        meta: plain data beside the weights, such as classes, epoch, config text.
        origin: family of the names: "jld", "jdet", "mmdet", "mmrotate", "torchvision", "timm",
            "detectron2", "swin" or "unknown".
        skipped: names of what was left out because it is not data.
        file_format: "torch-zip", "torch-legacy", "pickle" or "safetensors".
    """

    state: dict[str, np.ndarray]
    meta: dict = field(default_factory=dict)
    origin: str = "unknown"
    skipped: list[str] = field(default_factory=list)
    file_format: str = ""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names the file carries, or None."""
        inner = self.meta.get("dataset_meta")
        for holder in (self.meta, inner if isinstance(inner, dict) else {}):
            for key in ("classes", "CLASSES"):
                if isinstance(holder.get(key), list | tuple):
                    return tuple(str(name) for name in holder[key])
        return None

    @property
    def config(self) -> dict[str, Any] | None:
        """The complete config of the run whose weights these are, in plain values; files of jld carry it."""
        try:
            with recursion_limit():
                held = json.loads(self.meta["config"])
        except (KeyError, TypeError, ValueError, RecursionError):  # none, or the text of another framework
            return None
        return held if isinstance(held, dict) and isinstance(held.get("model"), dict) else None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The weights and plain data of a `.pth`, `.pkl` or `.safetensors` file; nothing in it is ever run.

    `state_dict` / `model` wrappers and a leading `module.` are taken off; optimizers and schedulers are not
    read, so a file with them costs no more memory than one without. A published file that is not there is
    fetched if that was asked for, see `jld.checkpoint.weights`.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or holds no named arrays.
    """
    path = available(path) or Path(path)
    if not path.exists() and (cure := how_to_get(path)):
        raise CheckpointError(f"Cannot read checkpoint {path}: there is no such file{cure}.")
    with reading(path), path.open("rb") as stream:
        size = path.stat().st_size
        file_format = sniff(stream.read(HEAD_BYTES), size)
        budget = Budget(size)
        if file_format == "safetensors":
            stream.seek(0)
            return _from_safetensors(stream.read(), budget)
        value, machine = open_pickled(stream, size, file_format, budget)
        checkpoint = _from_value(value, machine, budget)
    checkpoint.file_format = file_format
    return checkpoint


def open_pickled(
    stream: BinaryIO, size: int, file_format: str, budget: Budget
) -> tuple[object, PickleMachine]:
    """The top value of a pickle-based file, its arrays not read yet.

    Raises:
        MalformedError: it is damaged or hostile.
    """
    readers: dict[str, Callable] = {
        "torch-zip": lambda: read_zip(stream, budget),
        "torch-legacy": lambda: read_legacy(stream, size),
        "pickle": lambda: read_pickle(stream, size),
    }
    stream.seek(0)
    return readers[file_format]()


def sniff(head: bytes, size: int) -> str:
    """The format of a file from its first bytes.

    Raises:
        MalformedError: none we read, with what it looks like instead.
    """
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "torch-zip"
    if looks_like_safetensors(head, size):
        return "safetensors"
    if head[:1] == b"\x80" and LEGACY_MAGIC_BYTES in head[:32]:
        return "torch-legacy"
    strangers = (
        (size == 0, "it is empty"),
        (
            head[257:262] == b"ustar",
            "it is in the tar format of PyTorch before 0.1.10; save it with a newer one",
        ),
        (head[:2] == b"\x1f\x8b", "it is compressed with gzip; unpack it first"),
        (head.lstrip()[:1] == b"<", "it is a web page, so the download went wrong"),
        (head.startswith(b"version https://git-lfs"), "it is a Git LFS pointer; run `git lfs pull`"),
    )
    for is_it, message in strangers:
        if is_it:
            raise MalformedError(message)
    if head[:1] == b"\x80" or head[:1] in (b"(", b"c", b"}", b"]"):
        return "pickle"
    raise MalformedError("it is neither a PyTorch file, a pickle nor a safetensors file")


def _from_safetensors(data: bytes, budget: Budget) -> Checkpoint:
    arrays, metadata, skipped = parse_safetensors(data, budget)
    meta: dict = dict(metadata)
    for key in ("classes", "metrics"):
        with suppress(KeyError, ValueError):  # other writers put plain text there
            meta[key] = json.loads(meta[key])
    state = strip_module(arrays)
    return Checkpoint(state, meta, detect_origin(state, meta), skipped, "safetensors")


def _from_value(value: object, machine: PickleMachine, budget: Budget) -> Checkpoint:
    if isinstance(value, Placeholder):
        raise MalformedError(
            f"it holds a whole pickled object of class {value.name} instead of weights; "
            f"save model.state_dict() where that class is at hand"
        )
    if not isinstance(value, dict):
        raise MalformedError(f"it holds a {type(value).__name__}, not a dictionary of named arrays")
    unfolder = Unfolder(budget, machine.skipped)
    state = _plain_state(_find_state(value, machine), unfolder)
    meta = _plain_meta(value, unfolder)
    return Checkpoint(state, meta, detect_origin(state, meta), list(machine.skipped))


def _find_state(value: dict, machine: PickleMachine) -> dict:
    """The innermost dictionary that maps names to arrays."""
    current = value
    for _ in range(4):
        if any(is_record(item) for item in current.values()):
            return current
        inner = [current[key] for key in _STATE_KEYS if isinstance(current.get(key), dict)]
        if not inner:
            break
        current = inner[0]
    shown = ", ".join(repr(key)[:40] for key in list(value)[:6]) or "none"
    left_out = ", ".join(list(machine.skipped)[:3])
    because = f", and left out are {left_out}" if left_out else ""
    raise MalformedError(
        f"it holds no named arrays (its keys are {shown}{because}; expected state_dict or model)"
    )


def _plain_state(state: dict, unfolder: Unfolder) -> dict[str, np.ndarray]:
    arrays = {}
    for name, item in state.items():
        if isinstance(name, str) and is_record(item):
            arrays[name] = np.asarray(unfolder.unfold(item, repr(name)))
        else:
            unfolder.skipped.setdefault(f"{str(name)[:120]} ({type(item).__name__}, no array)")
    return strip_module(arrays)


def _plain_meta(value: dict, unfolder: Unfolder) -> dict:
    """The `meta` dictionary, joined with the single numbers and texts that stand beside the weights."""
    beside = {
        key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, _TEXT_METADATA)
    }
    meta = unfolder.unfold(value.get("meta", {}), "meta")
    return beside | (meta if isinstance(meta, dict) else {})


def _num_modules(name: str) -> int:
    """Letters of the `module.` that a name begins with, repeated or not."""
    found = _MODULES.match(name)
    return len(found[0]) if found else 0


def strip_module(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state without the `module.` a data-parallel wrapper puts before every name.

    Raises:
        MalformedError: a name is longer than any parameter's.
    """
    longest = max(map(len, state), default=0)
    if longest > MAX_KEY_LENGTH:
        raise MalformedError(f"it names an array with more than {MAX_KEY_LENGTH} letters")
    depth = min((_num_modules(name) for name in state), default=0)
    return {name[depth:]: values for name, values in state.items()} if depth else state
