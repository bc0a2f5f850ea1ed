"""From sections of a config to datasets, loaders, optimizer and hooks' settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.config import LOADER_KEYS
from jld.data import DataLoader, require_sound
from jld.errors import ConfigError, JldError, suggestion
from jld.ops.precision import FLOAT16
from jld.optim import LossScale, Optimizer, Schedule, scaled_lr
from jld.registry import EVALUATORS, build
from jld.toolchain import jittor as jt
from jld.utils.distributed import rank, world_size

_LOADER_NAMES = tuple(key.name for key in LOADER_KEYS)


def build_datasets(dataset: Mapping[str, Any], splits: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """({split: dataset}, warnings) of the splits that a config has, each looked through before anything runs.

    Raises:
        ConfigError, DataError: all problems of all splits together.
    """
    built: dict[str, Any] = {}
    problems: list[JldError] = []
    warnings: list[str] = []
    for split in splits:
        section = dataset.get(split)
        if section is None:
            continue
        try:
            built[split] = build(
                {key: section[key] for key in section if key not in _LOADER_NAMES}, path=split
            )
            warnings += [
                f"dataset.{split}: {problem}" for problem in require_sound(built[split], f"dataset.{split}")
            ]
        except JldError as error:
            problems.append(error)
    if problems:
        kind = type(problems[0]) if len({type(problem) for problem in problems}) == 1 else ConfigError
        raise kind("\n".join(str(problem) for problem in problems))
    return built, warnings


def loader_settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a dataset section that belong to its loader."""
    return {key: section[key] for key in _LOADER_NAMES if key in section and key != "evaluator"}


def build_loader(section: Mapping[str, Any], dataset: Any, seed: int, *, is_training: bool) -> DataLoader:
    """The loader of a dataset; each rank takes its part of every batch in training, whole batches else."""
    loader = DataLoader(dataset, seed=seed, **loader_settings(section))
    if world_size() == 1:
        return loader
    try:
        return loader.shard(rank(), world_size(), split_batches=is_training)
    except ConfigError as error:
        raise ConfigError(f"dataset.train: {error}") from error


def build_evaluator(section: Mapping[str, Any], dataset: Any) -> Any:
    """The evaluator a dataset section names, else the dataset's own.

    Raises:
        ConfigError: neither has one.
    """
    wanted = section.get("evaluator") or dataset.default_evaluator
    if wanted is None:
        raise ConfigError(
            f"{type(dataset).__name__} has no evaluator of its own: set dataset.val.evaluator; "
            f"{suggestion('', EVALUATORS.names())}"
        )
    return build({"type": wanted} if isinstance(wanted, str) else wanted)


def trainable_parameters(detector: Any, distiller: Any) -> dict[str, Any]:
    """{name: Var} of the student and of the distillation terms' adapters."""
    named = dict(detector.named_parameters())
    adapters = [] if distiller is None else distiller.parameters()
    return named | {f"distiller.{index}": var for index, var in enumerate(adapters)}


def build_optimizer(config: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[Optimizer, str]:
    """(optimizer, what was done to its learning rate) of a config.

    With `auto_scale_lr=dict(base_batch_size=16)` the configured rate is taken to be meant for that many
    images per step and is scaled to the images this run takes. With `precision="float16"` the optimizer gets
    a loss scale.
    """
    section, said = dict(config["optimizer"]), ""
    if config["auto_scale_lr"] is not None:
        base = config["auto_scale_lr"].get("base_batch_size", 16)
        images = config["dataset"]["train"].get("batch_size", 1) * config["accumulate_steps"]
        stated = section["lr"]
        section["lr"] = scaled_lr(stated, images, base)
        said = f"lr {stated:g} is meant for {base} images a step; with {images} it becomes {section['lr']:g}."
    optimizer = build(section, path="optimizer", params=params)
    if config["precision"] == FLOAT16:
        optimizer.loss_scale = LossScale()
    return optimizer, said


def precision_text(precision: str) -> str:
    """What training in half precision means on this device, as a line of the log."""
    if jt.flags.use_cuda:
        return f"convolutions in {precision}, everything else in float32"
    return (
        f"convolutions rounded to {precision} and computed in float32: the CPU shows what the rounding does, "
        "and saves no time by it"
    )


def build_schedule(config: Mapping[str, Any]) -> Schedule | None:
    """The learning-rate schedule of a config, or None."""
    return None if config["scheduler"] is None else build(config["scheduler"], path="scheduler")
