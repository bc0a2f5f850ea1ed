"""Whether a run can keep what its config promises: asked before anything trains or detects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jld.data import Dataset
from jld.errors import ConfigError
from jld.evaluation import published_row
from jld.runner.parts import build_evaluator

UNSERVED = {
    "amp": (False, "write precision='bfloat16' or precision='float16' instead"),
    "parameter_groups_generator": (None, "write rules into optimizer.parameter_groups"),
}
"""{key of JDet's configs that changes nothing here: (value that is fine, what to do)}."""


def check_promises(config: Mapping[str, Any]) -> None:
    """Stops on keys that would be passed over in silence, or would only be found wrong at the end of a run.

    Raises:
        ConfigError: one of `UNSERVED` asks for something, or `published` names an unknown row.
    """
    problems = [
        f"{key}={config[key]!r}: {cure}." for key, (fine, cure) in UNSERVED.items() if config[key] != fine
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    if (config["published"] or {}).get("row"):
        published_row(config["published"]["row"])


def check_run(config: Mapping[str, Any], datasets: Mapping[str, Dataset], detector: Any) -> None:
    """Stops a task whose parts do not suit each other, which else would show at its end, or never.

    Args:
        config: complete.
        datasets: {split: dataset} that the task uses.
        detector: what is trained or run.
    Raises:
        ConfigError: all problems together.
    """
    problems = [
        f"dataset.{split}: {problem}"
        for split in datasets
        for problem in _split_problems(config, split, datasets, detector)
    ]
    names = {split: dataset.classes for split, dataset in datasets.items() if dataset.classes}
    if len(set(names.values())) > 1:
        said = "; ".join(f"dataset.{split}: {', '.join(classes[:5])}" for split, classes in names.items())
        problems.append(f"the datasets number other classes, or the same in another order ({said}, ...).")
    if problems:
        raise ConfigError("\n".join(problems))


def _split_problems(
    config: Mapping[str, Any], split: str, datasets: Mapping[str, Dataset], detector: Any
) -> Iterator[str]:
    dataset = datasets[split]
    yield from _detector_problems(detector, dataset)
    if split == "train":
        yield from _learning_problems(config, detector, dataset)
    else:
        yield from _looking_problems(config, split, dataset)
    if "train" not in datasets:  # what is found while training is scored, and not written
        yield from dataset.result_problems()


def box_facts(detector: Any) -> tuple[int | None, int | None, str | None]:
    """(number of classes, numbers that describe a box, angle version); None where a detector does not say."""
    head = getattr(detector, "bbox_head", None)
    coder = getattr(head, "box_coder", None)
    values = (head, "num_classes"), (head, "num_sides"), (coder, "angle_version")
    return tuple(getattr(part, name, None) for part, name in values)


_KINDS = {4: "upright", 5: "rotated"}


def _detector_problems(detector: Any, dataset: Dataset) -> Iterator[str]:
    num_classes, num_sides, _ = box_facts(detector)
    theirs = len(dataset.classes)
    if num_classes is not None and theirs and num_classes != theirs:
        yield (
            f"model.bbox_head.num_classes is {num_classes}, but the dataset has {theirs} classes "
            f"({', '.join(dataset.classes[:5])}{', ...' if theirs > 5 else ''}): set one to the other."
        )
    if None not in (num_sides, dataset.num_sides) and num_sides != dataset.num_sides:
        yield (
            f"{type(dataset).__name__} holds {_KINDS[dataset.num_sides]} boxes, and "
            f"{type(detector).__name__} finds {_KINDS[num_sides]} ones: choose a detector or a dataset of "
            "the other kind."
        )


def _learning_problems(config: Mapping[str, Any], detector: Any, dataset: Dataset) -> Iterator[str]:
    angle_version = box_facts(detector)[2]
    if not dataset.is_labelled:
        yield f"{type(dataset).__name__} has no labels to learn from."
    if None not in (angle_version, dataset.angle_version) and angle_version != dataset.angle_version:
        yield (
            f"angle_version is {dataset.angle_version!r}, but model.bbox_head.box_coder has "
            f"{angle_version!r}: set one to the other."
        )
    if config["dataset"]["train"].get("evaluator") is not None:
        yield "evaluator: nothing is scored in training; write it into dataset.val."


def _looking_problems(config: Mapping[str, Any], split: str, dataset: Dataset) -> Iterator[str]:
    """Of a dataset that is looked at once from end to end."""
    section, name = config["dataset"][split], type(dataset).__name__
    for key in ("shuffle", "drop_last"):
        if section.get(key):
            yield f"{key}: every image has to be seen once, in training alone it may be otherwise."
    if len(set(dataset.image_ids)) != len(dataset):
        yield f"{name} shows images several times (times, balance_category), which is for training alone."
    try:
        dataset.views(config["flip_test"] or (), config["merge_nms_threshold_type"])
    except ConfigError as error:
        yield str(error)
    if split == "val":
        yield from _scoring_problems(section, dataset)


def _scoring_problems(section: Mapping[str, Any], dataset: Dataset) -> Iterator[str]:
    name = type(dataset).__name__
    if not dataset.is_labelled:
        yield f"{name} has no labels to score with."
        return
    try:
        evaluator = build_evaluator(section, dataset)
    except ConfigError as error:
        yield str(error)
        return
    # An evaluator of a project need not say what it takes.
    if dataset.num_sides not in getattr(evaluator, "supported_sides", (dataset.num_sides,)):
        yield (
            f"{type(evaluator).__name__} compares upright boxes, and {name} holds rotated ones: without "
            f"evaluator {dataset.default_evaluator} is taken."
        )
