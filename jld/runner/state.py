"""The training state: everything a killed run needs to go on as if nothing had happened.

Outer keys are JDet's (`meta, model, scheduler, optimizer`) plus `distill` (the modules that distillation
trains), `hooks`, `rng` and `data_position`; values are numpy arrays and plain data. Everything is found again
by its name. A frozen teacher is never in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import jld
from jld.checkpoint import (
    Checkpoint,
    atomic_write,
    averaged_weights,
    hook_states,
    read_checkpoint,
    read_training_state,
    write_training_state,
)
from jld.config import to_plain
from jld.distill import Distiller
from jld.errors import CheckpointError
from jld.models.pretrained import assign_state
from jld.optim import Schedule, write_arrays
from jld.toolchain import jittor as jt
from jld.utils.distributed import world_size
from jld.utils.seeds import random_state, restore_random_state

if TYPE_CHECKING:
    from jld.runner.hooks import Hook
    from jld.runner.loop import TrainingLoop

LAST = "last.pkl"


def model_arrays(model: jt.Module) -> dict[str, np.ndarray]:
    """{name: array} of all parameters and statistics of a model."""
    return {name: var.numpy() for name, var in model.state_dict().items()}


def config_text(config: Mapping[str, Any]) -> str:
    """A resolved config as JSON: text that can be read back from any file without running anything."""
    return json.dumps(
        to_plain(config), default=lambda value: value.item() if hasattr(value, "item") else str(value)
    )


def distill_vars(distiller: Distiller | None) -> dict[str, jt.Var]:
    """{<term or teacher>.<module>.<name>: Var} of all parameters and statistics that distillation owns."""
    modules = {} if distiller is None else distiller.modules()
    return {
        f"{place}.{name}": var
        for place, module in modules.items()
        for name, var in module.state_dict().items()
    }


def collect_state(loop: TrainingLoop, config: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The state of a `TrainingLoop` between two steps.

    Args:
        loop: the loop.
        config: the resolved config.
        classes: names, in the order of the labels, so that the file can be used without its dataset.
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
        "scheduler": _schedule_settings(loop.schedule),
        "optimizer": loop.optimizer.state_dict(),
        "distill": {name: var.numpy() for name, var in distill_vars(loop.distiller).items()},
        "hooks": {name: hook.state_dict() for name, hook in loop.stateful_hooks().items()},
        "rng": random_state() | {"seed": loop.seed},
        "data_position": position,
    }


def _schedule_settings(schedule: Schedule | Mapping[str, Schedule] | None) -> dict[str, Any]:
    if isinstance(schedule, Mapping):
        return {name: each.state_dict() for name, each in schedule.items()}
    return {} if schedule is None else schedule.state_dict()


def fingerprint(loop: TrainingLoop) -> str:
    """Position and a digest of the weights of a `TrainingLoop`, the same where two runs would do the same."""
    if world_size() == 1:
        return ""  # nobody to compare with
    digest = hashlib.sha256()
    for name, var in {**loop.detector.state_dict(), **distill_vars(loop.distiller)}.items():
        digest.update(name.encode() + var.numpy().tobytes())
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
                atomic_write(path, partial(shutil.copyfileobj, source))


def resume(loop: TrainingLoop, path: Path) -> str:
    """Puts a loop where a training state left off; the config's lengths, rates and intervals stay in force.

    Args:
        loop: a fresh `TrainingLoop` of the same model, with its hooks.
        path: a file written by `save_state`.
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
    restore_modules(loop.distiller, state, path)
    loop.optimizer.load_state_dict(state["optimizer"])
    notes = _restore_hooks(loop.stateful_hooks(), state)
    restore_random_state(state["rng"])
    notes += _restore_position(loop, state)
    said = f"resumed {path} at epoch {loop.epoch}, batch {loop.batch_index}, iteration {loop.iteration}"
    return "; ".join([said, *notes]) + "."


def _restore_position(loop: TrainingLoop, state: Mapping[str, Any]) -> list[str]:
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


def _restore_hooks(hooks: Mapping[str, Hook], state: Mapping[str, Any]) -> list[str]:
    saved = hook_states(state)
    notes = [
        f"it has no state of the hook {name!r}, which starts anew" for name in hooks if name not in saved
    ]
    for name, hook_state in saved.items():
        if name in hooks:
            hooks[name].load_state_dict(hook_state)
        else:
            notes.append(f"the state of the hook {name!r} is left out, which this run does not have")
    return notes


def restore_modules(distiller: Distiller | None, state: Mapping[str, Any], path: Path) -> None:
    """Gives adapters and teachers that learn what a training state holds of them.

    Args:
        distiller: of the same `distill` section, or None.
        state: a training state.
        path: its file, for messages.
    Raises:
        CheckpointError: the state is of another section, or of a version that did not name its parts.
    """
    if (state.get("optimizer") or {}).get("adapters"):
        raise CheckpointError(
            f"{path} is of an earlier version of jld, which numbered the adapters of distillation terms "
            "instead of naming them: finish that run with the version that began it, or start anew from the "
            "file as pretrained_weights."
        )
    own, saved = distill_vars(distiller), state.get("distill") or {}
    problems = [f"lacks {name}" for name in own if name not in saved]
    problems += [f"has {name}, which this run does not" for name in saved if name not in own]
    problems += [
        f"has {name} of shape {np.shape(saved[name])} instead of {tuple(var.shape)}"
        for name, var in own.items()
        if name in saved and np.shape(saved[name]) != tuple(var.shape)
    ]
    if problems:
        raise CheckpointError(
            f"what {path} learned for distillation does not fit the config's distill section: it "
            f"{'; '.join(problems[:4])}{'; ...' if len(problems) > 4 else ''}. Resume with the same section, "
            "or start anew from the file as pretrained_weights."
        )
    write_arrays(own, saved)


def evaluated_weights(path: str | Path) -> tuple[Checkpoint, str]:
    """(weights, what they are) of a checkpoint of any kind: those that its training evaluated.

    A training state that holds an average of the weights gives that, whatever the config asks for by now.

    Raises:
        CheckpointError: unreadable file.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.file_format == "pickle":
        average = averaged_weights(read_training_state(path))
        if average:
            return replace(checkpoint, state={**checkpoint.state, **average}), "averaged weights"
    return checkpoint, "weights"
