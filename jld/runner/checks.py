"""Whether a run can keep what its config promises: asked before anything trains or detects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jld.data import Dataset
from jld.data.labels import difference
from jld.distill import Teacher
from jld.errors import ConfigError
from jld.evaluation import published_row
from jld.models import Detector
from jld.models.normalisation import other_input
from jld.runner.parts import build_evaluator


def check_promises(config: Mapping[str, Any]) -> None:
    """Stops on what would only be found wrong at the end of a run.

    Raises:
        ConfigError: `published` names an unknown row.
    """
    if (config["published"] or {}).get("row"):
        published_row(config["published"]["row"])


def check_run(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    detector: Detector,
    *,
    writes_results: bool = False,
) -> None:
    """Stops a task whose parts do not suit each other, which else would show at its end, or never.

    Args:
        config: complete.
        datasets: {split: dataset} that the task uses, their classes in one order.
        detector: what is trained or run.
        writes_results: whether the task writes its detections as the dataset's benchmark takes them.
    Raises:
        ConfigError: all problems together.
    """
    problems = [
        f"dataset.{split}: {problem}"
        for split in datasets
        for problem in _split_problems(config, split, datasets, detector)
    ]
    if writes_results:
        problems += [
            f"dataset.{split}: {problem}"
            for split, each in datasets.items()
            for problem in each.result_problems()
        ]
    if problems:
        raise ConfigError("\n".join(problems))


def check_lessons(teachers: Mapping[str, Teacher], dataset: Dataset) -> None:
    """Stops where a teacher would look for what the training data do not hold.

    Raises:
        ConfigError: see above.
    """
    for name, teacher in teachers.items():
        # A teacher of a project need not say.
        if getattr(teacher, "needs_masks", False) and not dataset.has_masks:
            raise ConfigError(
                f"the teacher {name!r} reads masks, and dataset.train gives none: set "
                "dataset.train.with_masks=True, or teach without masks."
            )


def _split_problems(
    config: Mapping[str, Any], split: str, datasets: Mapping[str, Dataset], detector: Detector
) -> Iterator[str]:
    dataset = datasets[split]
    yield from _detector_problems(detector, dataset)
    if problem := other_input(detector.normalisation, config["dataset"][split]):
        yield problem
    if split == "train":
        yield from _learning_problems(config, detector, dataset)
    else:
        yield from _looking_problems(config, split, dataset, detector)


_KINDS = {4: "upright", 5: "rotated"}


def _detector_problems(detector: Detector, dataset: Dataset) -> Iterator[str]:
    told, classes = detector.interface, dataset.classes
    if classes and told.num_classes != len(classes):
        yield (
            f"num_classes is {told.num_classes}, but the dataset has {len(classes)} classes "
            f"({', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''}): set one to the other."
        )
    elif told.classes and classes and told.classes != classes:
        yield difference(classes, told.classes, ours="the dataset", theirs="the detector")
    num_sides = told.stage().boxes.num_sides
    if dataset.num_sides not in (None, num_sides):
        unlabelled = "" if dataset.is_labelled else "; ImageFolder serves either kind"
        yield (
            f"{type(dataset).__name__} holds {_KINDS[dataset.num_sides]} boxes, and "
            f"{type(detector).__name__} finds {_KINDS[num_sides]} ones: choose a detector or a dataset of "
            f"the other kind{unlabelled}."
        )


def finds_masks(detector: Detector) -> bool:
    """Whether the detections of a detector come with masks: it has a stage for them."""
    return "mask" in detector.interface.stages


def _learning_problems(config: Mapping[str, Any], detector: Detector, dataset: Dataset) -> Iterator[str]:
    angle_version = detector.interface.stage().boxes.angle_version
    if not dataset.is_labelled:
        yield f"{type(dataset).__name__} has no labels to learn from."
    if None not in (angle_version, dataset.angle_version) and angle_version != dataset.angle_version:
        yield (
            f"angle_version is {dataset.angle_version!r}, but the detector's box_coder has "
            f"{angle_version!r}: set one to the other."
        )
    if finds_masks(detector) and not dataset.has_masks:
        yield (
            f"{type(detector).__name__} learns masks, and {type(dataset).__name__} gives none: set "
            "with_masks=True (COCODataset, DrawnDataset), or train a detector of boxes."
        )
    if config["dataset"]["train"].get("evaluator") is not None:
        yield "evaluator: nothing is scored in training; write it into dataset.val."


def _looking_problems(
    config: Mapping[str, Any], split: str, dataset: Dataset, detector: Detector
) -> Iterator[str]:
    """Of a dataset that is looked at once from end to end."""
    section, name = config["dataset"][split], type(dataset).__name__
    for key in ("shuffle", "drop_last"):
        if section.get(key):
            yield f"{key}: every image has to be seen once, in training alone it may be otherwise."
    if len(set(dataset.image_ids)) != len(dataset):
        yield f"{name} shows images several times (times, balance_category), which is for training alone."
    for index, transform in dataset.transforms.marked("for_training"):
        yield (
            f"transforms.{index} is {type(transform).__name__}, after which nothing leads back to the image: "
            "for training alone."
        )
    views = None
    try:
        views = dataset.views(
            config["flip_test"] or (), config["merge_iou_threshold"], config["scale_test"] or ()
        )
    except ConfigError as error:
        yield str(error)
    if views is not None and len(views) > 1 and finds_masks(detector):
        yield "masks found in several views of an image cannot be joined: set flip_test, scale_test to None."
    if split == "val":
        yield from _scoring_problems(section, dataset, detector)


def _scoring_problems(section: Mapping[str, Any], dataset: Dataset, detector: Detector) -> Iterator[str]:
    name = type(dataset).__name__
    if not dataset.is_labelled:
        yield f"{name} has no labels to score with."
        return
    try:
        evaluator = build_evaluator(section, dataset)
    except ConfigError as error:
        yield str(error)
        return
    if getattr(evaluator, "with_masks", False) and not (finds_masks(detector) and dataset.has_masks):
        who = type(detector).__name__ if dataset.has_masks else name
        yield f"with_masks asks for scores of masks, and {who} has no masks: set with_masks=False."
    # An evaluator of a project need not say what it takes.
    if dataset.num_sides not in getattr(evaluator, "supported_sides", (dataset.num_sides,)):
        yield (
            f"{type(evaluator).__name__} compares upright boxes, and {name} holds rotated ones: without "
            f"evaluator {dataset.default_evaluator} is taken."
        )
