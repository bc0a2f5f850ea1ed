"""The training state: everything a killed run needs to go on as if nothing had happened.

Outer keys are JDet's (`meta, model, scheduler, optimizer`) plus `rng`, `ema` and `data_position`; values are
numpy arrays and plain data. A teacher is never in it; adapters of distillation terms are, beside the
optimizer's buffers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jld
from jld.checkpoint import atomic_write, read_checkpoint, read_training_state, write_training_state
from jld.config import to_plain
from jld.errors import CheckpointError
from jld.models.pretrained import assign_state
from jld.toolchain import jittor as jt
from jld.utils.distributed import world_size
from jld.utils.seeds import random_state, restore_random_state

LAST = "last.pkl"


def model_arrays(model: Any) -> dict[str, np.ndarray]:
    """{name: array} of all parameters and statistics of a model."""
    return {name: var.numpy() for name, var in model.state_dict().items()}


def config_text(config: Mapping[str, Any]) -> str:
    """A resolved config as JSON: text that can be read back from any file without running anything."""
    return json.dumps(
        to_plain(config), default=lambda value: value.item() if hasattr(value, "item") else str(value)
    )


def collect_state(loop: Any, config: Mapping[str, Any], classes: Sequence[str], average: Any = None) -> dict:
    """The state of a `TrainingLoop` between two steps.

    Args:
        loop: the loop.
        config: the resolved config.
        classes: names, in the order of the labels, so that the file can be used without its dataset.
        average: the `EMAHook`, or None.
    """
    jt.sync_all()
    meta = {
        "jld_version": jld.__version__,
        "epoch": loop.epoch,
        "iter": loop.iteration,
        "max_epoch": loop.max_epoch,
        "max_iter": loop.max_iter,
        "save_time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "config": config_text(config),
        "classes": list(classes),
        "best": dict(loop.best),
    }
    position = {
        "epoch": loop.epoch,
        "batch_index": loop.batch_index,
        "batches_per_epoch": len(loop.loader),
        "images_seen": loop.images_seen,
        "losses": loop.history.state_dict(),
    }
    return {
        "meta": meta,
        "model": model_arrays(loop.detector),
        "scheduler": {} if loop.schedule is None else loop.schedule.state_dict(),
        "optimizer": loop.optimizer.state_dict() | {"adapters": _adapter_arrays(loop.distiller)},
        "rng": random_state() | {"seed": loop.seed},
        "ema": {} if average is None else average.average.state_dict(),
        "data_position": position,
    }


def fingerprint(loop: Any) -> str:
    """Position and a digest of the weights of a `TrainingLoop`, the same where two runs would do the same."""
    if world_size() == 1:
        return ""  # nobody to compare with
    digest = hashlib.sha256()
    for name, array in model_arrays(loop.detector).items():
        digest.update(name.encode() + array.tobytes())
    return (
        f"epoch {loop.epoch}, batch {loop.batch_index}, iteration {loop.iteration}, {digest.hexdigest()[:12]}"
    )


def save_state(state: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Writes one state under several names; each appears whole or not at all.

    The second and later names are hard links where the file system has them: files are only ever replaced,
    never changed in place, so a link cannot follow a later save.
    """
    first, *others = paths
    write_training_state(first, state)
    for path in others:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            os.link(first, temporary)
            temporary.replace(path)
        except OSError:
            with first.open("rb") as source:
                atomic_write(path, lambda file, source=source: shutil.copyfileobj(source, file))


def resume(loop: Any, path: Path, average: Any = None) -> str:
    """Puts a loop where a training state left off; the config's lengths, rates and intervals stay in force.

    Args:
        loop: a fresh `TrainingLoop` of the same model.
        path: a file written by `save_state`.
        average: the `EMAHook`, or None.
    Returns:
        one sentence saying what was resumed, and what could not be.
    Raises:
        CheckpointError: the file has no training state, or it belongs to another model or optimizer.
    """
    state = read_training_state(path)
    for key in ("optimizer", "data_position", "rng"):
        if not isinstance(state.get(key), dict) or not state[key]:
            raise CheckpointError(
                f"{path} has no {key!r} to resume from (a JDet file, or weights only): "
                "use it as pretrained_weights."
            )
    assign_state(loop.detector, state["model"], what=f"resume_path {path}")
    loop.optimizer.load_state_dict(state["optimizer"])
    _restore_adapters(loop.distiller, state["optimizer"].get("adapters") or [], path)
    notes = []
    if average is not None:
        if state.get("ema"):
            average.average.load_state_dict(state["ema"])
        else:
            average.attach(loop.detector)
            notes.append("it has no averaged weights, so the average starts at its weights")
    restore_random_state(state["rng"])
    notes += _restore_position(loop, state)
    said = f"resumed {path} at epoch {loop.epoch}, batch {loop.batch_index}, iteration {loop.iteration}"
    return "; ".join([said, *notes]) + "."


def _restore_position(loop: Any, state: Mapping[str, Any]) -> list[str]:
    position, meta = state["data_position"], state["meta"]
    loop.epoch, loop.iteration = int(position["epoch"]), int(meta["iter"])
    loop.images_seen = int(position["images_seen"])
    loop.best = dict(meta.get("best") or {})
    loop.history.load_state_dict(position["losses"])
    loop.batch_index = int(position["batch_index"])
    notes = []
    if loop.batch_index and position["batches_per_epoch"] != len(loop.loader):
        loop.batch_index = 0
        notes.append("the number of batches changed, so its epoch starts again")
    if int(state["rng"]["seed"]) != loop.seed:
        notes.append(
            f"the seed was {state['rng']['seed']} and is {loop.seed} now, so the order of the data differs"
        )
    return notes


def _adapter_arrays(distiller: Any) -> list[np.ndarray]:
    return [] if distiller is None else [var.numpy() for var in distiller.parameters()]


def _restore_adapters(distiller: Any, arrays: Sequence[np.ndarray], path: Path) -> None:
    adapters = [] if distiller is None else distiller.parameters()
    if [tuple(var.shape) for var in adapters] != [tuple(np.shape(array)) for array in arrays]:
        raise CheckpointError(
            f"{path} holds {len(arrays)} adapter parameters of distillation terms, this config makes "
            f"{len(adapters)} (or of other shapes): resume with the same distill.terms, or use "
            "the file as pretrained_weights."
        )
    for var, array in zip(adapters, arrays, strict=True):
        is_frozen = var.is_stop_grad()
        var.assign(jt.array(array))
        if is_frozen:
            var.stop_grad()


def evaluation_arrays(path: Path, use_average: bool) -> tuple[dict[str, np.ndarray], dict, str]:
    """(weights, meta, what they are) of a checkpoint of any kind, the averaged weights if wanted and there.

    Raises:
        CheckpointError: unreadable file.
    """
    checkpoint = read_checkpoint(path)
    if use_average and checkpoint.file_format == "pickle":
        average = read_training_state(path).get("ema") or {}
        if average.get("state"):
            return {**checkpoint.state, **average["state"]}, checkpoint.meta, "averaged weights"
    return checkpoint.state, checkpoint.meta, "weights"
