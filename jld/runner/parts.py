"""From sections of a config to datasets, loaders, optimizer and hooks' settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from logging import Logger
from pathlib import Path
from typing import Any

from jld.checkpoint import read_checkpoint
from jld.config import LOADER_KEYS, MATCH_KEYS, named_sections
from jld.data import DataLoader, Dataset, require_sound
from jld.data.labels import follow_classes
from jld.distill import Distiller
from jld.errors import ConfigError, DataError, JldError, one_of, suggestion
from jld.evaluation import Evaluator
from jld.evaluation.records import LOWER_IS_BETTER
from jld.models import Detector
from jld.ops.precision import FLOAT16
from jld.optim import LossScale, Optimizer, Optimizers, Schedule, divided, scaled_lr
from jld.registry import EVALUATORS, build
from jld.runner.hooks import chosen_number, numbers_of
from jld.toolchain import jittor as jt
from jld.utils.distributed import rank, world_size
from jld.utils.logging import get_logger

_LOADER_NAMES = tuple(key.name for key in LOADER_KEYS)
_MATCH_NAMES = tuple(key.name for key in MATCH_KEYS)


def build_datasets(
    dataset: Mapping[str, Any], splits: tuple[str, ...]
) -> tuple[dict[str, Dataset], list[str]]:
    """({split: dataset}, warnings) of the splits that a config has, each looked through before anything runs.

    Raises:
        ConfigError, DataError: all problems of all splits together.
    """
    built: dict[str, Dataset] = {}
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


def agree_on_classes(
    datasets: Mapping[str, Dataset], weights: tuple[str, Path] | None, log: Logger
) -> dict[str, Dataset]:
    """Datasets whose labels mean the same: train's follow the weights it starts from, others follow train's.

    Weights of other classes but as many are a start for them, unless they are to be resumed.

    Args:
        datasets: {split: dataset}, train among them.
        weights: (config key, file) that training starts from.
        log: gets a line where something is relabelled.
    Raises:
        ConfigError: other classes; shows both lists.
    """
    agreed = dict(datasets)
    names = (read_checkpoint(weights[1]).classes if weights else None) or ()
    if weights and names:
        key, theirs = weights[0], f"{weights[0]} {weights[1]}"
        own = agreed["train"].classes
        try:
            agreed["train"], said = follow_classes(
                agreed["train"], names, ours="dataset.train", theirs=theirs
            )
            if said:
                log.info(said)
        except ConfigError as problem:
            if key == "resume_path" or len(names) != len(own):
                raise
            log.warning("%s Training goes on from these weights to the classes of dataset.train.", problem)
    wanted = agreed["train"].classes
    for split, dataset in list(agreed.items()):
        agreed[split], said = follow_classes(dataset, wanted, ours=f"dataset.{split}", theirs="dataset.train")
        if said:
            log.info(said)
    return agreed


def account_of(split: str, dataset: Dataset, model: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Logs where the objects of a dataset went, and returns it as plain data.

    Args:
        model: the config's section: of train it is said which assigners take ignored objects for background.
    Raises:
        DataError: there is nothing to learn in the train split.
    """
    account = dataset.account()
    get_logger("run").info("dataset.%s: %s", split, account.describe())
    if split == "train" and not account.trained:
        raise DataError(f"dataset.train has no object to learn from:\n{account.describe()}")
    is_ignoring = account.ignored.total or dataset.transforms.marked("makes_ignored")
    blind = list(_blind_assigners(model or {}, "model")) if split == "train" and is_ignoring else []
    if blind:
        get_logger("run").info(
            "dataset.train: what lies in the ignored objects is background to %s, as in mmDetection; "
            "ignore_iof_thr=0.5 there leaves it out of the losses.",
            " and ".join(blind),
        )
    return {"benchmark": dataset.benchmark, "fingerprint": dataset.fingerprint(), **account.as_dict()}


def _blind_assigners(section: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of the assigners that do not look at ignored objects."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            if key == "assigner" and value.get("ignore_iof_thr", -1.0) <= 0:
                yield f"{path}.assigner"
            yield from _blind_assigners(value, f"{path}.{key}")


def loader_settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a dataset section that belong to its loader."""
    return {key: section[key] for key in _LOADER_NAMES if key in section and key != "evaluator"}


def build_loader(section: Mapping[str, Any], dataset: Dataset, seed: int, *, is_training: bool) -> DataLoader:
    """The loader of a dataset; each rank takes its part of every batch in training, whole batches else."""
    loader = DataLoader(dataset, seed=seed, **loader_settings(section))
    if world_size() == 1:
        return loader
    try:
        return loader.shard(rank(), world_size(), split_batches=is_training)
    except ConfigError as error:
        raise ConfigError(f"dataset.train: {error}") from error


def num_steps(config: Mapping[str, Any], num_batches: int) -> int:
    """Steps of the whole training, of which an epoch has `num_batches` batches."""
    if config["max_iter"] is not None:
        return config["max_iter"]
    return (config["max_epoch"] or 0) * -(-num_batches // config["accumulate_steps"])


def build_evaluator(
    section: Mapping[str, Any], dataset: Dataset, *, within_training: bool = False
) -> Evaluator:
    """The evaluator a dataset section names, else the dataset's own.

    Args:
        within_training: that for scores between epochs, where the evaluator has another (`within_training`).
    Raises:
        ConfigError: neither has one.
    """
    wanted = section.get("evaluator") or dataset.default_evaluator
    if wanted is None:
        raise ConfigError(
            f"{type(dataset).__name__} has no evaluator of its own: set dataset.val.evaluator; "
            f"{suggestion('', EVALUATORS.names())}"
        )
    evaluator = build({"type": wanted} if isinstance(wanted, str) else wanted)
    faster = getattr(evaluator, "within_training", None) if within_training else None
    return evaluator if faster is None else faster()


def best_metric(config: Mapping[str, Any], evaluator: Evaluator, classes: Sequence[str]) -> str:
    """Name of the number that decides which weights are best: the config's choice, else the evaluator's.

    Raises:
        ConfigError: the evaluator does not give the config's choice, or has none of its own; or the choice
            is an error, of which the highest is not the best.
    """
    if config["best_metric"] in LOWER_IS_BETTER:
        raise ConfigError(
            f"best_metric is {config['best_metric']!r}, of which the lowest is the best: choose another."
        )
    if config["best_metric"] is not None:
        # On no image at all, to learn of a wrong name before the training and not after its first epoch.
        chosen_number(numbers_of(evaluator([], [], classes)), config["best_metric"])
        return config["best_metric"]
    if not hasattr(evaluator, "best_metric"):
        raise ConfigError(
            f"{type(evaluator).__name__} does not say which of its numbers decides: set best_metric."
        )
    return evaluator.best_metric


def trainable_parameters(detector: Detector, distiller: Distiller | None) -> dict[str, jt.Var]:
    """{name: Var} of the student, and {distill.<term or teacher>.<module>.<name>: Var} of distillation."""
    modules = {} if distiller is None else distiller.modules()
    return dict(detector.named_parameters()) | {
        f"distill.{place}.{name}": var
        for place, module in modules.items()
        for name, var in module.named_parameters()
    }


def build_optimizer(config: Mapping[str, Any], params: Mapping[str, jt.Var]) -> tuple[Optimizers, str]:
    """(optimizers, what was done to their learning rates) of a config.

    With `auto_scale_lr=dict(base_batch_size=16)` the configured rates are taken to be meant for that many
    images per step and are scaled to the images this run takes. With `precision="float16"` there is a loss
    scale.

    Raises:
        ConfigError: several optimizers whose `match` leaves out a parameter or names it twice, see
            `jld.optim.divided`; a learning rate to be scaled is not given.
    """
    sections = named_sections("optimizer", config["optimizer"])
    shares: Mapping[str, Mapping[str, jt.Var]] = {"optimizer": params}
    if list(sections) != list(shares):
        shares = divided(params, {_name(path): section for path, section in sections.items()})
    members: dict[str, Optimizer] = {}
    said: list[str] = []
    for path, section in sections.items():
        settings = {key: value for key, value in section.items() if key not in _MATCH_NAMES}
        if config["auto_scale_lr"] is not None:
            said.append(_scale_lr(settings, config, path))
        members[_name(path)] = build(settings, path=path, params=shares[_name(path)])
    return Optimizers(members, LossScale() if config["precision"] == FLOAT16 else None), " ".join(said)


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _scale_lr(settings: dict[str, Any], config: Mapping[str, Any], path: str) -> str:
    """Changes the `lr` of an optimizer's section to the images of a step; one sentence about it."""
    if "lr" not in settings:
        raise ConfigError(f"auto_scale_lr needs {path}.lr, which the config does not give.")
    base = config["auto_scale_lr"].get("base_batch_size", 16)
    images = config["dataset"]["train"].get("batch_size", 1) * config["accumulate_steps"]
    stated, settings["lr"] = settings["lr"], scaled_lr(settings["lr"], images, base)
    whose = f"{_name(path)}: " if "." in path else ""
    becomes = f"with {images} it becomes {settings['lr']:g}"
    return f"{whose}lr {stated:g} is meant for {base} images a step; {becomes}."


def precision_text(precision: str) -> str:
    """What training in half precision means on this device, as a line of the log."""
    if jt.flags.use_cuda:
        return f"convolutions in {precision}, everything else in float32"
    return (
        f"convolutions rounded to {precision} and computed in float32: the CPU shows what the rounding does, "
        "and saves no time by it"
    )


def build_schedule(config: Mapping[str, Any]) -> Schedule | dict[str, Schedule] | None:
    """The learning-rate schedule of a config, {name of the optimizer: schedule} where they differ, or None.

    Raises:
        ConfigError: a schedule for an optimizer that there is not.
    """
    section = config["scheduler"]
    sections = {} if section is None else named_sections("scheduler", section)
    schedules = {_name(path): build(each, path=path) for path, each in sections.items()}
    if set(sections) <= {"scheduler"}:
        return schedules.get("scheduler")
    optimizers = list(map(_name, named_sections("optimizer", config["optimizer"])))
    for name in schedules:
        one_of(name, optimizers, f"scheduler.{name} belongs to no optimizer")
    return schedules
