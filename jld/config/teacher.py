"""A teacher named by one file: a config, weights or the folder of a run as a `distill.teacher` section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jld.checkpoint import read_checkpoint
from jld.checkpoint.weights import available, how_to_get, known_file
from jld.config.config import Config
from jld.config.loader import load_config
from jld.config.named import RUN_CONFIG, find_config, is_shipped
from jld.errors import ConfigError

CONFIG_SUFFIXES = (".py", ".yaml", ".yml")
# Of a run's checkpoints, in the order in which they make a teacher.
CHECKPOINTS = ("best.pkl", "last.pkl")


def teacher_section(name: str) -> dict[str, Any]:
    """dict(config, checkpoint) of a teacher that is named by one file.

    Args:
        name: a config (its file or its name), whose own run has left weights in its `work_dir`, whose weights
            are published (`jld list weights`), or whose `pretrained_weights` are the teacher; the folder of a
            run; or weights (.safetensors, .pkl, .pth), which hold their config, or have it beside them under
            their own name or as `config.py`, as runs do.
    Raises:
        ConfigError: nothing there, or one half is not to be found; says where it was looked for.
        CheckpointError: the weights cannot be read.
    """
    path = Path(name)
    if not path.is_file():
        try:
            path = find_config(path)
        except ConfigError as error:
            raise ConfigError(f"distill.teacher: {error}") from error
    if not path.is_file():
        raise ConfigError(
            f"distill.teacher: there is no file {path}; name a config, weights or a run's folder."
        )
    if path.suffix in CONFIG_SUFFIXES:
        return {"config": str(path), "checkpoint": str(_weights_of(path))}
    return {"config": _config_of(path), "checkpoint": str(path)}


def _weights_of(path: Path) -> Path:
    config = load_config(path)
    runs = dict.fromkeys([Path(config.get("work_dir") or f"work_dirs/{path.stem}"), path.parent])
    tried = [run / "checkpoints" / file for run in runs for file in CHECKPOINTS]
    if config.get("pretrained_weights"):
        tried.append(Path(config["pretrained_weights"]))
    published = known_file(path.stem)
    if published is not None and is_shipped(path):
        tried.append(available(published.name) or published.place)
    for file in tried:
        if file.is_file():
            return file
    cure = how_to_get(tried[-1]).removeprefix("; it is ")
    raise ConfigError(
        f"distill.teacher: no weights of {path}: there is none of {', '.join(map(str, tried))}; train it, "
        f"{f'get {cure}, ' if cure else ''}or write distill.teacher='{{config: {path}, checkpoint: FILE}}'."
    )


def _config_of(weights: Path) -> str | Config:
    beside = [weights.with_suffix(suffix) for suffix in CONFIG_SUFFIXES]
    beside += [folder / RUN_CONFIG for folder in (weights.parent, weights.parent.parent)]
    for file in beside:
        if file.is_file():
            return str(file)
    held = read_checkpoint(weights).config
    if held is not None:
        return Config(held)
    raise ConfigError(
        f"distill.teacher: {weights} does not hold its config, and there is none of "
        f"{', '.join(map(str, beside))}; write distill.teacher='{{config: FILE, checkpoint: {weights}}}'."
    )
