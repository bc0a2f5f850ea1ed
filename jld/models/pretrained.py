"""Weights from disk into a model: whole detectors and ImageNet backbones. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jld.errors import CheckpointError
from jld.toolchain import jittor as jt

# Names that published files hold and no model of ours has: the classifier of ImageNet networks, PyTorch's
# batch counter, and constants.
IGNORED_SUFFIXES = ("num_batches_tracked", "integral.project")
IGNORED_PREFIXES = ("fc.", "head.fc.")


def weights_folder() -> Path:
    """Where files for "torchvision://name" are looked for: $JLD_WEIGHTS, else ~/.cache/jld/weights."""
    return Path(os.environ.get("JLD_WEIGHTS") or Path.home() / ".cache" / "jld" / "weights")


def find_pretrained(source: str) -> Path:
    """The file behind a path or behind "scheme://name".

    Raises:
        CheckpointError: it is not there; names the file to get and the folder to put it into.
    """
    scheme, separator, name = source.partition("://")
    if not separator:
        if not Path(source).is_file():
            raise CheckpointError(f"pretrained weights {source} do not exist; give the path of a checkpoint file.")
        return Path(source)
    folder = weights_folder()
    found = sorted(path for suffix in ("pth", "pt", "safetensors", "pkl") for path in folder.glob(f"{name}*.{suffix}"))
    if not found:
        raise CheckpointError(
            f"pretrained weights {source!r}: no file {name}*.pth in {folder}; get it from {scheme} and put it there, "
            "set JLD_WEIGHTS to its folder, or set model.backbone.pretrained to its path or to None."
        )
    return found[0]


def load_backbone_weights(backbone: jt.Module, source: str) -> None:
    """Fills a backbone from a path or "scheme://name"; an ImageNet classifier and a `backbone.` prefix are dropped.

    Raises:
        CheckpointError: missing file, missing or misshapen parameters.
    """
    from jld.checkpoint import read_checkpoint

    path = find_pretrained(source)
    state = read_checkpoint(path).state
    prefix = "backbone."
    if any(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    assign_state(backbone, state, what=str(path), optional=("conv_offset.",))


def load_weights(model: jt.Module, path: str | Path, *, what: str = "checkpoint") -> None:
    """Fills a detector from a file of any kind that `jld.checkpoint` reads.

    Args:
        what: how messages call the file, for example the config key that names it.
    Raises:
        CheckpointError: unreadable file, missing or misshapen parameters.
    """
    from jld.checkpoint import read_checkpoint

    assign_state(model, read_checkpoint(path).state, what=f"{what} {path}")


def assign_state(
    model: jt.Module, state: dict[str, np.ndarray], *, what: str, optional: tuple[str, ...] = ()
) -> None:
    """Copies arrays into the parameters of the same names, running statistics included.

    Args:
        state: {parameter name: array}.
        what: how messages call the source.
        optional: parameters with one of these parts in their name may be missing.
    Raises:
        CheckpointError: a parameter is missing, has another shape, or a name is unknown to the model.
    """
    own = model.state_dict()
    unknown = [
        name for name in state
        if name not in own and not name.endswith(IGNORED_SUFFIXES) and not name.startswith(IGNORED_PREFIXES)
    ]
    missing = [name for name in own if name not in state and not any(part in name for part in optional)]
    misshapen = [
        f"{name} {tuple(np.shape(state[name]))} instead of {tuple(own[name].shape)}"
        for name in own if name in state and not _same_shape(own[name], state[name])
    ]
    problems = [
        f"{title}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for title, names in (("missing", missing), ("unknown", unknown), ("other shape", misshapen)) if names
    ]
    if problems:
        raise CheckpointError(f"{what} does not fit the model; " + "; ".join(problems) + ".")
    for name, var in own.items():
        if name in state:
            var.assign(jt.array(np.ascontiguousarray(state[name], np.float32).reshape(tuple(var.shape))))


def _same_shape(var: jt.Var, array: np.ndarray) -> bool:
    # Jittor has no zero-dimensional Var: a PyTorch scalar arrives as [] and lives as [1].
    return tuple(np.shape(array)) == tuple(var.shape) or (np.size(array) == 1 and tuple(var.shape) == (1,))
